"""A client of A2A as bare as one can be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.support.client import Answer, new_session
from tests.support.reading import ReadingClient
from tests.support.sse import Frame, Stream

VERSION: Final = {"A2A-Version": "1.0"}

COMPLETED: Final = "TASK_STATE_COMPLETED"

INPUT_REQUIRED: Final = "TASK_STATE_INPUT_REQUIRED"

CANCELED: Final = "TASK_STATE_CANCELED"


class A2aClient(ReadingClient):
    """A client of the protocol, as bare as one can be. Used by any thread."""

    def rpc(self, method: str, params: Any, headers: Mapping[str, str] = VERSION) -> Answer:
        """Send a request of JSON-RPC."""
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        return self.call("POST", "/a2a", body, headers=headers)

    def send(self, message: dict[str, Any], **configuration: Any) -> Any:
        """Send a message and answer its task."""
        body = {"message": message, "configuration": configuration}
        answer = self.call("POST", "/a2a/message:send", body, headers=VERSION)
        assert answer.status == 200, answer.body
        return answer.json["task"]

    def open(self, message: dict[str, Any]) -> Stream:
        """Send a message and read its stream."""
        return self.stream("POST", "/a2a/message:stream", {"message": message}, headers=VERSION)

    def subscribe(self, task_id: str, after: str | None = None) -> Stream:
        """Read a task, from an event on."""
        headers = VERSION if after is None else {**VERSION, "Last-Event-ID": after}
        return self.stream("POST", f"/a2a/tasks/{task_id}:subscribe", {}, headers=headers)

    def task(self, task_id: str, query: str = "") -> Any:
        """A task as it is now."""
        return self.call("GET", f"/a2a/tasks/{task_id}{query}", headers=VERSION).json

    def refused(self, method: str, path: str, json: Any = None) -> tuple[int, str]:
        """The status of a refusal, and its name."""
        answer = self.call(method, f"/a2a{path}", json, headers=VERSION)
        return answer.status, answer.json["error"]["details"][0]["reason"]


def say(*steps: Any, **more: Any) -> dict[str, Any]:
    """A message that has the agent do these steps; one text is said."""
    text = steps[0] if isinstance(steps[0], str) else json.dumps(steps)
    parts = [{"text": text}]
    return {"messageId": new_session(), "role": "ROLE_USER", "parts": parts, **more}


def state_of(client: A2aClient, task: dict[str, Any]) -> str:
    """What a task does now."""
    return str(client.task(task["id"])["status"]["state"])


class Shown:
    """What a client shows of a task that it reads: the protocol's own rules, and no more."""

    def __init__(self) -> None:
        self.task: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        self.states: list[str] = []
        self.last_id: str | None = None

    def take(self, frame: Frame) -> None:
        """Take an event."""
        self.last_id = frame.id or self.last_id
        ((kind, event),) = frame.data.items()
        if kind == "task":
            self.task = event
            self.texts = {one["artifactId"]: text_of(one) for one in event.get("artifacts", [])}
        elif kind == "artifactUpdate":
            name, text = event["artifact"]["artifactId"], text_of(event["artifact"])
            before = self.texts.get(name, "") if event.get("append") else ""
            self.texts[name] = before + text
        status = event.get("status")
        if status is not None:
            self.states.append(status["state"])


def take_all(shown: Shown, frames: Iterable[Frame]) -> None:
    """Take all events of a stream."""
    for frame in frames:
        shown.take(frame)


def text_of(artifact: dict[str, Any]) -> str:
    """An artifact's text."""
    return "".join(part["text"] for part in artifact["parts"])
