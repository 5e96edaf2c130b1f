"""The host as an MCP server for the Python SDK, of version 1 or 2: what each call came to.

Run in an environment that has one of them: ``mcp_calls.py {"url", "token", "mode"}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import mcp

IS_FIRST = not hasattr(mcp, "Client")
#: Which version's they are, no type checker can know.
types: Any = import_module("mcp.types" if IS_FIRST else "mcp_types")
streamable_http: Any = import_module("mcp.client.streamable_http")


async def answer_blue(_context: Any, _params: Any) -> Any:
    """Answer each form."""
    return types.ElicitResult(action="accept", content={"answer": "blue"})


@asynccontextmanager
async def connected(given: dict[str, Any], *, elicits: bool = True) -> AsyncIterator[Any]:
    """A client of the SDK's own."""
    headers = {"Authorization": f"Bearer {given['token']}"}
    callback: Any = answer_blue if elicits else None
    if IS_FIRST:
        connection = streamable_http.streamablehttp_client(given["url"], headers)
        async with (
            connection as (read, write, _),
            mcp.ClientSession(read, write, elicitation_callback=callback) as session,
        ):
            await session.initialize()
            yield session
        return
    import httpx2  # noqa: PLC0415 - of version 2

    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http.streamable_http_client(given["url"], http_client=http)
        client = mcp.Client(transport, mode=given["mode"], elicitation_callback=callback)
        async with client:
            yield client


def shown(result: Any) -> dict[str, Any]:
    """What a result says."""
    dumped: dict[str, Any] = result.model_dump(mode="json", by_alias=True)
    text = dumped["content"][0]["text"]
    return {**dumped["structuredContent"], "isError": dumped["isError"] or False, "text": text}


async def ask(client: Any, *steps: Any, session: str = "") -> dict[str, Any]:
    """Call the tool with progress."""
    told: list[str] = []

    async def progress(_progress: float, _total: float | None, message: str | None) -> None:
        told.append(message or "")

    message = steps[0] if isinstance(steps[0], str) else json.dumps(steps)
    arguments = {"message": message, **({"session": session} if session else {})}
    result = await client.call_tool("ask", arguments, progress_callback=progress)
    return {**shown(result), "progress": told}


async def talk(client: Any) -> AsyncIterator[tuple[str, Any]]:
    """All that one connection is used for."""
    yield "tools", [tool.name for tool in (await client.list_tools()).tools]
    first = await ask(client, {"status": "busy"}, {"tokens": 3}, {"text": "."})
    yield "text", first
    yield "again", await ask(client, {"tell": "history"}, session=first["session"])
    yield "failed", await ask(client, {"raise": "TurnError"})
    yield "asked", await ask(client, {"text": "Well. "}, {"ask": "Which?"}, {"text": "."})
    yield "long", await ask(client, {"tokens": 300, "pause": 0.004})


async def stop(client: Any, session: str) -> str:
    """Give a call up, in the SDK's own way where it has one."""
    steps = ({"text": "now"}, {"hold": 1})
    calling = asyncio.create_task(ask(client, *steps, session=session))
    await asyncio.sleep(1.0)
    if IS_FIRST:
        number = client._request_id - 1  # noqa: SLF001 - version 1 tells it nowhere else
        params = types.CancelledNotificationParams(requestId=number)
        told = types.CancelledNotification(method="notifications/cancelled", params=params)
        await client.send_notification(types.ClientNotification(told))
        try:
            return str((await calling)["status"])
        except Exception as error:  # noqa: BLE001 - any of the SDK's
            return type(error).__name__
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await asyncio.sleep(0.5)
    return "given up"


async def main(given: dict[str, Any]) -> None:
    """Print what each came to, a line each."""

    def tell(scenario: str, came: Any) -> None:
        print(json.dumps({"scenario": scenario, "came": came}), flush=True)  # noqa: T201 - its output

    async with connected(given) as client:
        async for scenario, came in talk(client):
            tell(scenario, came)
        tell("stopped", await stop(client, given["session"]))
    async with connected(given, elicits=False) as client:
        asked = await ask(client, {"text": "Well. "}, {"ask": "Which?"})
        tell("askedInText", asked)
        tell("answeredInText", await ask(client, "blue", session=asked["session"]))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
