"""The host as an agent for the Python SDK of A2A: what each task came to.

Run in an environment that has it: ``calls.py {"url", "token", "binding", "session"}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

#: They are in an environment of their own.
client_module: Any = import_module("a2a.client")
types: Any = import_module("a2a.types")
httpx: Any = import_module("httpx")
to_dict: Any = import_module("google.protobuf.json_format").MessageToDict


class Shown:
    """What is shown of a task."""

    def __init__(self) -> None:
        self.task_id = self.context_id = self.text = self.asked = ""
        self.states: list[str] = []

    def take(self, event: Any) -> None:
        """Take an event of the stream."""
        ((kind, value),) = to_dict(event).items()
        if kind == "task":
            self.task_id, self.context_id = value["id"], value["contextId"]
            artifacts = value.get("artifacts", [])
            self.text = "".join(part.get("text", "") for one in artifacts for part in one["parts"])
        elif kind == "artifactUpdate":
            text = "".join(part.get("text", "") for part in value["artifact"]["parts"])
            self.text = self.text + text if value.get("append") else text
        if "status" in value:
            self.states.append(value["status"]["state"].removeprefix("TASK_STATE_"))
            parts = value["status"].get("message", {}).get("parts", [])
            self.asked = "".join(part["text"] for part in parts)

    def told(self) -> dict[str, Any]:
        """What it came to."""
        return {"text": self.text, "states": self.states, "asked": self.asked}


def message(text: str, **more: str) -> Any:
    """A message of the user's."""
    said = types.Part(text=text)
    named = {"message_id": str(uuid.uuid4()), "role": types.Role.ROLE_USER}
    return types.SendMessageRequest(message=types.Message(parts=[said], **named, **more))


async def read(client: Any, events: AsyncIterator[Any], shown: Shown) -> Shown:
    """Read a task to its end, across cuts."""
    while True:
        try:
            async for event in events:
                shown.take(event)
        except Exception:
            if not shown.task_id:
                raise
            # One that has ended meanwhile is not to be subscribed to.
            task = await client.get_task(types.GetTaskRequest(id=shown.task_id))
            shown.take(types.StreamResponse(task=task))
            if shown.states[-1] in ("COMPLETED", "FAILED"):
                return shown
            events = client.subscribe(types.SubscribeToTaskRequest(id=shown.task_id))
        else:
            return shown


async def say(client: Any, *steps: Any, **more: str) -> Shown:
    """Send what the agent shall do, or a text, and read the task."""
    text = steps[0] if isinstance(steps[0], str) else json.dumps(steps)
    return await read(client, client.send_message(message(text, **more)), Shown())


async def stop(client: Any, session: str) -> list[str]:
    """Cancel a task while it is read."""
    shown = Shown()
    async for event in client.send_message(message('[{"hold": 1}]', context_id=session)):
        shown.take(event)
        if len(shown.states) == 1:
            await client.cancel_task(types.CancelTaskRequest(id=shown.task_id))
    return shown.states[-1:]


async def main(given: dict[str, Any]) -> None:
    """Print what each came to, a line each."""

    def tell(scenario: str, came: Any) -> None:
        print(json.dumps({"scenario": scenario, "came": came}), flush=True)  # noqa: T201 - its output

    headers = {"Authorization": f"Bearer {given['token']}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        config = client_module.ClientConfig(
            httpx_client=http, supported_protocol_bindings=[given["binding"]]
        )
        client = await client_module.create_client(given["url"], config)
        tell("text", (await say(client, {"status": "busy"}, {"tokens": 3})).told())
        tell("failed", (await say(client, {"raise": "TurnError"})).told())
        asked = await say(client, {"text": "Well. "}, {"ask": "Which?"}, {"text": "."})
        tell("asked", asked.told())
        tell("answered", (await say(client, "blue", task_id=asked.task_id)).told())
        tell("long", (await say(client, {"tokens": 300, "pause": 0.004})).told())
        tell("stopped", await stop(client, given["session"]))
        task = to_dict(await client.get_task(types.GetTaskRequest(id=asked.task_id)))
        tell("task", task["status"]["state"])
        listed = await client.list_tasks(types.ListTasksRequest(page_size=3))
        tell("listed", len(listed.tasks))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
