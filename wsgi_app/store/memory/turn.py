"""One turn of the memory store; its lock is the store's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Optional

from msgspec import Struct

from wsgi_app.events import LOST_SEQ, CancelReason, EventId
from wsgi_app.store.base import Message, mark_of


class Steer(NamedTuple):
    """A message to a turn that runs."""

    state: Literal["waiting", "taken"]
    message: bytes


class Turn(Struct, eq=False):
    """A turn and its journal."""

    number: int
    run_id: str
    worker_id: str
    message: Message
    note: bytes = b""
    begun_at: float = 0.0
    state: Literal["queued", "running", "ended"] = "queued"
    cancel: Optional[CancelReason] = None
    #: What the turn started with.
    history: list[bytes] = []
    events: list[bytes] = []
    journal_bytes: int = 0
    lost: Optional[bytes] = None
    #: What is said to it while it runs, by ids, see `SteerOperations`.
    steers: dict[str, Steer] = {}

    def append(self, first_seq: int, events: Sequence[bytes]) -> None:
        """Add what is not stored yet; nothing behind a hole."""
        stored = len(self.events)
        if first_seq > stored + 1:
            return
        new = events[stored + 1 - first_seq :]
        self.events.extend(new)
        self.journal_bytes += sum(map(len, new))

    def lose(self, error: bytes) -> None:
        """Write the terminal event of a dead worker's turn."""
        self.lost = error
        self.journal_bytes += len(error)

    def read(self, after_seq: int, max_events: int) -> list[tuple[EventId, bytes]]:
        """Read events in order."""
        chosen = self.events[after_seq : after_seq + max_events]
        rows = [(EventId(self.number, after_seq + 1 + i), json) for i, json in enumerate(chosen)]
        if self.lost is not None and after_seq < LOST_SEQ and len(rows) < max_events:
            rows.append((EventId(self.number, LOST_SEQ), self.lost))
        return rows

    @property
    def mark(self) -> str:
        """See `mark_of`."""
        return mark_of(self.run_id)

    @property
    def last_id(self) -> EventId:
        """The id of the last event."""
        return EventId(self.number, len(self.events) if self.lost is None else LOST_SEQ)


class Question(NamedTuple):
    """What a turn waits for; it stays after its answer, so that taking may be repeated."""

    turn: int
    request_id: str
    answer: bytes | None
