"""A client that reads turns in every way there is, and what the scripted agent tells of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.support.client import Client
from tests.support.servers import Server
from tests.support.sse import Frame, Stream
from tests.support.waiting import wait_for


class ReadingClient(Client):
    """Attaches, replays and polls. Used by any thread."""

    def events(self, session_id: str, after: str | None = None) -> Stream:
        """Attach to a session."""
        headers = {} if after is None else {"Last-Event-ID": after}
        return self.stream("GET", f"/chat/{session_id}/events", headers=headers)

    def replay(self, session_id: str, after: str) -> list[Frame]:
        """Read everything after an event up to the stream's regular end."""
        with self.events(session_id, after) as stream:
            return list(stream)

    def poll(self, session_id: str, after: str, wait_seconds: float) -> Any:
        """Long-poll once."""
        path = f"/chat/{session_id}/poll?after={after}&wait={wait_seconds}"
        answer = self.call("GET", path, seconds=wait_seconds + 15)
        assert answer.status == 200, answer.body
        return answer.json

    def poll_now(self, session_id: str) -> Any:
        """Poll once, without a cursor and without a wait."""
        return self.call("GET", f"/chat/{session_id}/poll").json

    def cancel(self, session_id: str) -> Any:
        """Cancel what runs and waits."""
        return self.call("POST", f"/chat/{session_id}/cancel").json

    def session(self, session_id: str) -> Any:
        """The session's state and messages."""
        return self.call("GET", f"/session/{session_id}").json

    def wait_idle(self, session_id: str, seconds: float = 10) -> None:
        """Wait until nothing of the session runs."""
        wait_for(lambda: self.session(session_id)["state"] == "idle", f"{session_id} idle", seconds)


def served(ask: Callable[[], Stream]) -> Stream:
    """A stream that is asked for again while its tenant has too many readers.

    Those that were cut count until their worker misses them.
    """

    def try_once() -> Stream | None:
        stream = ask()
        if stream.status == 200:
            return stream
        with stream:
            assert stream.status in (429, 503), stream.json()
        return None

    stream = wait_for(try_once, "a reader's place", 20)
    assert stream is not None
    return stream


def observed(server: Server, name: str, session_id: str) -> list[float]:
    """When the scripted agent told this of this session, on `time.monotonic`."""
    line = rf"^observed {name} ([0-9.]+) {re.escape(session_id)}$"
    found = re.findall(line, server.log(), re.MULTILINE)
    return [float(moment) for moment in found]


def wait_observed(server: Server, name: str, session_id: str, seconds: float = 10) -> float:
    """Wait until the scripted agent told this of this session; returns when it did."""
    what = f"{name} observed of {session_id}"
    return wait_for(lambda: observed(server, name, session_id), what, seconds)[0]
