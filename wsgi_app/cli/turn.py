"""One turn read to its end, over as many connections as it takes."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wsgi_app.cli.client import EventStream, HostClient, backoff_seconds
from wsgi_app.cli.faults import ConnectionLost, HostError, Refused
from wsgi_app.cli.sse import Block

TERMINAL: Final = ("done", "error", "cancelled")
FIRST_RETRY_SECONDS: Final = 1.0
#: Failures in a row, about five seconds: a message that never arrived is soon reported.
MAX_START_FAILURES: Final = 4
#: Failures in a row, about a minute: long enough for a host to be replaced.
MAX_READ_FAILURES: Final = 10

_EVENT_ID = re.compile(r"([0-9]{1,10})-([0-9]{1,10})", re.ASCII)


class Cursor(NamedTuple):
    """An event's position in its session; compares in the order of events."""

    turn: int
    seq: int

    def __str__(self) -> str:
        return f"{self.turn}-{self.seq}"


class Numbered(NamedTuple):
    """An event with its id."""

    id: Cursor
    body: dict[str, Any]
    #: The mark of its run, where it is the first that this reader got of it.
    run: str = ""

    @property
    def kind(self) -> str:
        """The event's type."""
        return str(self.body["type"])


class Notice(NamedTuple):
    """Something to tell about the connection."""

    text: str


class TurnReader:
    """Starts a turn, or takes up one that runs, and reads it. Used by one thread.

    The position in the turn moves in `taken` alone: after an interrupt `events` is called again and
    gets what was not taken, no more and no less.
    """

    def __init__(
        self,
        client: HostClient,
        session_id: str,
        *,
        message: str = "",
        turn: int | None = None,
    ) -> None:
        self.turn: int | None = None
        self._client = client
        self._session_id = session_id
        self._message = message
        self._key = secrets.token_hex(16)  # keeps a message that is sent again from a second turn
        self._cursor = Cursor(0, 0)
        self._run = ""
        self._retry_seconds = FIRST_RETRY_SECONDS
        if turn is not None:
            self.take_up(turn)

    def take_up(self, turn: int) -> None:
        """Read this turn from its first event on."""
        self.turn = turn
        self._cursor, self._run = Cursor(turn, 0), ""

    def taken(self, event: Numbered) -> None:
        """Go on behind this event."""
        self._cursor, self._run = event.id, event.run or self._run

    def events(self) -> Iterator[Numbered | Notice]:
        """Yield each event once, in order, up to the terminal one; `taken` goes between them.

        Raises HostError when the turn is refused, or cannot be read to its end.
        """
        failures = 0
        while True:
            before = self._cursor
            fault: HostError = ConnectionLost("The host closed the connection in mid-answer.")
            try:
                with self._connect() as stream:
                    for block in stream:
                        if (item := self._read(block)) is not None:
                            yield item
                        if isinstance(item, Numbered) and item.kind in TERMINAL:
                            return
                        self._retry_seconds = stream.retry_seconds or self._retry_seconds
            except HostError as error:
                fault = error
            failures = 1 if self._cursor != before else failures + 1
            if not self._may_pass(fault, failures):
                raise fault
            if failures > 1:
                yield Notice(f"{fault.message} Trying again.")
            pause_seconds = backoff_seconds(self._retry_seconds, failures - 1)
            time.sleep(max(fault.retry_after_seconds, pause_seconds))

    def _connect(self) -> EventStream:
        if self.turn is not None:
            after = f"{self._cursor}.{self._run}" if self._run else str(self._cursor)
            return self._client.resume(self._session_id, after)
        stream = self._client.start(self._session_id, self._message, self._key)
        if stream.turn is not None:
            self.take_up(stream.turn)
        return stream

    def _read(self, block: Block) -> Numbered | Notice | None:
        body = _parse_body(block.data)
        found = _EVENT_ID.fullmatch(block.id or "")
        event = Numbered(Cursor(int(found[1]), int(found[2])), body, block.run) if found else None
        is_other = block.run != "" and self._run not in ("", block.run)
        if event is None or (event.id == self._cursor and not is_other):
            # A status without an id of its own is about the connection: no free slot, a restart.
            return Notice(str(body.get("content"))) if body["type"] == "status" else None
        if self.turn is None:
            self.take_up(event.id.turn)
        if event.id.turn != self.turn or is_other:
            raise Refused(204, "lost", "The host no longer has the rest of this answer.")
        return event if event.id > self._cursor else None

    def _may_pass(self, fault: HostError, failures: int) -> bool:
        if self.turn is None:
            # A refused start is reported at once, unless an earlier request may have started it.
            in_doubt = failures > 1 or isinstance(fault, ConnectionLost)
            return fault.retryable and in_doubt and failures < MAX_START_FAILURES
        return fault.retryable and failures < MAX_READ_FAILURES


def _parse_body(data: str) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise ConnectionLost("An event is not JSON.") from None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise ConnectionLost("An event has no type.")
    return body
