"""Event ids, and the cursors of readers."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from msgspec import Struct

#: Sequence number of a terminal event written on behalf of a dead worker.
LOST_SEQ: Final = 1_000_000_000

EVENT_ID_PATTERN: Final = r"^(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})\Z"
_EVENT_ID = re.compile(EVENT_ID_PATTERN, re.ASCII)
#: An id, and the mark of its run where the reader has one.
CURSOR_PATTERN: Final = r"^(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})(\.[0-9a-f]{12})?\Z"
_CURSOR = re.compile(CURSOR_PATTERN, re.ASCII)


class EventId(Struct, frozen=True, order=True, gc=False):
    """``<turn>-<seq>``; compares in the order of a session's events."""

    turn: int
    seq: int

    def __str__(self) -> str:
        return f"{self.turn}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> EventId:
        """Read an id; raises ValueError when it is not ``<turn>-<seq>``."""
        match = _EVENT_ID.match(text)
        if match is None:
            raise ValueError("an event id is <turn>-<seq>")
        return cls(int(match[1]), int(match[2]))


class Cursor(NamedTuple):
    """Where a reader stands: ``<turn>-<seq>``, or ``<turn>-<seq>.<mark>``.

    Numbers begin again with a session that is deleted, or lost by its store. The ``mark`` is of the
    run that made the event; in another run's turn it is no position. '' where no marks are known.
    """

    position: EventId
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.position}.{self.mark}" if self.mark else str(self.position)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor; raises ValueError when it has neither form."""
        match = _CURSOR.match(text)
        if match is None:
            raise ValueError("a cursor is <turn>-<seq> or <turn>-<seq>.<mark>")
        return cls(EventId(int(match[1]), int(match[2])), (match[3] or "")[1:])
