"""Which workers are alive, and which turns are lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from wsgi_app.store.values import (
    Closing,
    Fence,
    Heartbeat,
    SessionKey,
    WorkerInfo,
    WorkerView,
    no_messages,
)

#: How long workers report their turns after somebody has looked.
OBSERVED_SECONDS = 10.0


class WorkerOperations(ABC):
    """See `Store`."""

    @abstractmethod
    def heartbeat(
        self,
        worker_id: str,
        fences: Sequence[Fence],
        following: Sequence[SessionKey] = (),
        info: WorkerInfo | None = None,
    ) -> Heartbeat:
        """Renew the worker's lease on its turns, and on the sessions that its readers follow.

        ``info`` is for `workers`.

        A turn that was made again is the worker's from then on. A worker counts as alive for a
        lease from its last heartbeat, and as the owner of the turns that it listed then, and of
        those that it began since.
        """

    @abstractmethod
    def leave(self, worker_id: str) -> None:
        """Forget a worker that has ended its turns and leaves."""

    @abstractmethod
    def workers(self) -> list[WorkerView]:
        """List the workers that are alive, by their ids."""

    @abstractmethod
    def observe_workers(self) -> list[WorkerView]:
        """List them like `workers`, and have them report their turns for `OBSERVED_SECONDS`.

        Their next heartbeats return that they are ``observed``.
        """

    @abstractmethod
    def lost_workers(self) -> list[str]:
        """Find workers whose lease has run out; see `mark_lost`."""

    @abstractmethod
    def mark_lost(
        self, worker_id: str, error: bytes, close: Closing = no_messages, again: bytes = b""
    ) -> list[Fence]:
        """End every turn of a dead worker with the terminal event ``error``, at seq `LOST_SEQ`.

        Queued ones too. ``close`` makes what a turn that ran adds to the history of the events
        that its journal holds then. Returns the fences of those that it ended, and forgets the
        worker. Those that another worker may continue, see `Resumes`, are left alone for a
        lease, and their worker is not forgotten. ``again``: the error of turns that several
        workers have had, if it is another.
        """

    @abstractmethod
    def settle_session(
        self, key: SessionKey, error: bytes, close: Closing = no_messages, again: bytes = b""
    ) -> list[Fence]:
        """End the session's turns that no living worker owns, like `mark_lost`.

        Such are turns of an unknown worker, and turns begun longer than a lease ago that their
        worker did not list in its last heartbeat: it never learned that it had begun them.
        """
