"""Operations for readers of a session's events."""

from __future__ import annotations

from abc import ABC, abstractmethod

from wsgi_app.events import EventId
from wsgi_app.store.values import JournalSlice, SessionKey

#: What one read brings: a turn's events may be megabytes, and many readers ask at a time.
MAX_READ_BYTES = 262_144


class ReaderOperations(ABC):
    """See `Store`."""

    @abstractmethod
    def follow(self, worker_id: str, key: SessionKey) -> None:
        """Have every event of the session signalled to this worker, for a lease from now.

        It gets the signals ``events`` and ``ended``; heartbeats renew it. Nothing happens for an
        unknown session.
        """

    @abstractmethod
    def read(
        self,
        key: SessionKey,
        after: EventId,
        max_events: int,
        mark: str = "",
        *,
        follower: str = "",
    ) -> JournalSlice | None:
        """Read what is stored after a cursor; None for an unknown session.

        ``mark``: of the run that the cursor is of, '' where the reader does not say. ``follower``:
        a worker that is signalled what comes behind, see `follow`, if there is a turn that has not
        ended and is another worker's.

        At most ``max_events``, and at most `MAX_READ_BYTES` of them, but at least one.
        """
