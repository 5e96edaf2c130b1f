"""Operations for readers, in memory."""

from __future__ import annotations

from wsgi_app.events import EventId
from wsgi_app.store.base import (
    JournalSlice,
    SessionKey,
    Signal,
)
from wsgi_app.store.base.readers import ReaderOperations
from wsgi_app.store.memory.part import MemoryPart
from wsgi_app.store.memory.session import Push


class MemoryReaders(MemoryPart, ReaderOperations):
    """See `ReaderOperations`."""

    def follow(self, worker_id: str, key: SessionKey) -> None:
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                return
            session.follow(worker_id, self._clock() + self._limits.lease_seconds)
            running = session.active[:1]
        self._send([(turn.worker_id, Signal("follow", key, turn.number)) for turn in running])

    def read(
        self,
        key: SessionKey,
        after: EventId,
        max_events: int,
        mark: str = "",
        *,
        follower: str = "",
    ) -> JournalSlice | None:
        pushes: list[Push] = []
        with self._lock:
            session = self._sessions.get(key)
            found = None if session is None else session.read(after, max_events, mark)
            if session is not None and found is not None and found.live_turn is not None:
                live = session.turns[found.live_turn]
                if follower not in ("", live.worker_id):
                    session.follow(follower, self._clock() + self._limits.lease_seconds)
                    pushes.append((live.worker_id, Signal("follow", key, live.number)))
        self._send(pushes)
        return found
