"""The memory store as it would be on another machine: slow, or away for a moment."""

from __future__ import annotations

import time
from collections.abc import Sequence

from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.events import EventId
from wsgi_app.store.base import (
    Appended,
    BeginTurn,
    JournalSlice,
    JournalWrite,
    SessionKey,
    SessionState,
    TurnBegun,
)
from wsgi_app.store.memory import MemoryStore

ROUND_TRIP_SECONDS = 0.02


class SlowStore(MemoryStore):
    """Has done what it was told for a while when its answer comes."""

    def begin_turn(self, request: BeginTurn) -> TurnBegun:
        """Begin a turn, and answer later."""
        begun = super().begin_turn(request)
        time.sleep(ROUND_TRIP_SECONDS)
        return begun

    def write(self, writes: Sequence[JournalWrite]) -> list[Appended | Fenced | StoreUnavailable]:
        """Write later."""
        time.sleep(ROUND_TRIP_SECONDS)
        return super().write(writes)


class AbsentStore(MemoryStore):
    """Answers no reads while ``away`` is set."""

    away = False

    def read(
        self,
        key: SessionKey,
        after: EventId,
        max_events: int,
        mark: str = "",
        *,
        follower: str = "",
    ) -> JournalSlice | None:
        """Read, if it is there."""
        if self.away:
            raise StoreUnavailable
        return super().read(key, after, max_events, mark, follower=follower)

    def state_of(self, key: SessionKey) -> SessionState | None:
        """Describe, if it is there."""
        if self.away:
            raise StoreUnavailable
        return super().state_of(key)


class RefusingStore(MemoryStore):
    """Takes no events and ends while ``away`` is set."""

    away = False

    def write(self, writes: Sequence[JournalWrite]) -> list[Appended | Fenced | StoreUnavailable]:
        """Write, if it is there."""
        if self.away:
            return [StoreUnavailable() for _ in writes]
        return super().write(writes)
