"""A client's end of the native WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from simple_websocket import Client, ConnectionClosed

from tests.support.servers import Server

DEV = {"Authorization": "Bearer dev"}
READ_SECONDS = 20


class Socket:
    """A client's end of a WebSocket."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def say(self, **message: Any) -> None:
        """Send one message."""
        self.client.send(json.dumps(message))

    def script(self, *steps: dict[str, Any], **more: Any) -> None:
        """Start a turn of the scripted agent."""
        self.say(type="message", content="hi", metadata={"steps": list(steps)}, **more)

    def event(self) -> dict[str, Any]:
        """The next event."""
        text = self.client.receive(timeout=READ_SECONDS)
        assert text is not None, "no event came in time"
        found: dict[str, Any] = json.loads(text)
        return found

    def until(self, kind: str) -> list[dict[str, Any]]:
        """All events up to one of this type."""
        events = [self.event()]
        while events[-1]["type"] != kind:
            events.append(self.event())
        return events

    def closed(self) -> int:
        """Wait for the end and answer its code."""
        try:
            while self.client.receive(timeout=READ_SECONDS) is not None:
                pass
        except ConnectionClosed as closed:
            return int(closed.reason)
        raise AssertionError(f"it is still open after {READ_SECONDS} s")


@contextmanager
def connected(
    server: Server, session: str, headers: dict[str, str] | None = None, query: str = ""
) -> Iterator[Socket]:
    """A connection to a session."""
    url = f"ws://127.0.0.1:{server.port}/agents/ws/chat/{session}{query}"
    client = Client.connect(url, headers=DEV if headers is None else headers)
    try:
        yield Socket(client)
    finally:
        # Its own thread may close it at the same time.
        with suppress(ConnectionClosed, OSError):
            client.close()
