"""What readers need of Redis."""

from __future__ import annotations

from wsgi_app.events import EventId
from wsgi_app.store.base import JournalSlice, SessionKey
from wsgi_app.store.base.readers import ReaderOperations
from wsgi_app.store.redis.part import RedisPart
from wsgi_app.store.redis.replies import journal_slice


class RedisReaders(RedisPart, ReaderOperations):
    """See `ReaderOperations`."""

    def follow(self, worker_id: str, key: SessionKey) -> None:
        self._edge.run(self._calls.follow(worker_id, key))

    def read(
        self,
        key: SessionKey,
        after: EventId,
        max_events: int,
        mark: str = "",
        *,
        follower: str = "",
    ) -> JournalSlice | None:
        call = self._calls.read(key, after, max_events, mark, follower)
        return journal_slice(self._edge.run(call))
