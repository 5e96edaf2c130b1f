"""A thread by plain HTTP, as the protocol has it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any, Final

import httpx

from tests.support.servers import Server
from wsgi_app.auth import DEVELOPMENT_TOKEN

ALL: Final = (
    *("values", "updates", "messages", "tools", "lifecycle", "input"),
    *("checkpoints", "custom"),
)
ENDS: Final = ("completed", "failed", "interrupted")
Event = dict[str, Any]


class Thread:
    """A thread of the tenant; used by one thread."""

    def __init__(self, server: Server) -> None:
        self.id = str(uuid.uuid4())
        self.base = f"{server.url}/agents/langgraph"
        self.url = f"{self.base}/threads/{self.id}"
        self.http = httpx.Client(headers={"X-Api-Key": DEVELOPMENT_TOKEN}, timeout=20)

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command; its answer."""
        body = {"id": 7, "method": method, "params": params}
        answer = self.http.post(f"{self.url}/commands", json=body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        assert told["id"] == 7
        return told

    def start(self, *steps: dict[str, Any], text: str = "hi", **params: Any) -> str:
        """Start a run of these steps; its id."""
        messages = {"messages": [{"type": "human", "content": text}]}
        told = self.command(
            "run.start",
            **{
                "assistant_id": "agent",
                "input": messages,
                "metadata": {"steps": list(steps)},
                **params,
            },
        )
        assert told["type"] == "success", told
        run_id: str = told["result"]["run_id"]
        return run_id

    def state(self) -> dict[str, Any]:
        """The thread's state."""
        answer = self.http.get(f"{self.url}/state")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def events(self, *channels: str, **wanted: Any) -> Iterator[Event]:
        """The thread's events, which have no end."""
        for line in self.lines(*channels, **wanted):
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    def lines(self, *channels: str, **wanted: Any) -> Iterator[str]:
        """The lines of its stream."""
        body = {"channels": list(channels or ALL), **wanted}
        with self.http.stream("POST", f"{self.url}/stream/events", json=body) as answer:
            assert answer.status_code == 200, answer.read()
            yield from answer.iter_lines()

    def until_end(self, *channels: str, runs: int = 1, **wanted: Any) -> list[Event]:
        """Its events up to the end of so many runs."""
        found: list[Event] = []
        ended: set[str] = set()
        for event in self.events(*channels, **wanted):
            found.append(event)
            ended |= {run_of(event)} if is_end(event) else set()
            if len(ended) == runs:
                break
        return found

    def close(self) -> None:
        """Give its connections back."""
        self.http.close()


def is_end(event: Event) -> bool:
    """Whether a run ends with it."""
    return event["method"] == "lifecycle" and event["params"]["data"]["event"] in ENDS


def run_of(event: Event) -> str:
    """The run that a lifecycle event names."""
    return str(event["event_id"]).split(":")[1]


def text_of(events: list[Event]) -> str:
    """What the messages say, delta by delta."""
    deltas = [
        event["params"]["data"]["delta"]
        for event in events
        if event["method"] == "messages"
        and event["params"]["data"]["event"] == "content-block-delta"
    ]
    return "".join(delta.get("text", "") for delta in deltas)
