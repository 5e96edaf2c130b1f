"""Turns that another worker continues when theirs dies: an optional part of a store.

A store that workers share has it as `Store.resumes`. A turn may be resumed if it runs, or waits for
its place, has no cancel flag, was begun with what its run is made from (`BeginTurn.resume`, or
`StepWrite.resume`), has its records whole, and fewer attempts than `StoreLimits.max_attempts`.
Every operation may raise StoreUnavailable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple

from wsgi_app.store.values import Fence, Message, SessionKey

#: The seqs of an attempt begin behind this many for each before it: readers may have seen events of
#: that one which never came into the journal. More than a turn may have.
ATTEMPT_SEQS: Final = 1_000_000


class LostTurn(NamedTuple):
    """A turn as its worker has left it."""

    fence: Fence
    worker_id: str
    #: What its run is made from.
    resume: bytes
    #: Which one its worker was at, from 1.
    attempt: int
    #: How many events its journal holds.
    stored: int
    #: Since it began to run, by the store's clock; None for one that waits for its place.
    elapsed_seconds: float | None
    #: The question whose answer its worker does not have, '' for none.
    question: str
    #: Of its steps, in order.
    records: list[bytes]


class Resumed(NamedTuple):
    """A turn that is this worker's now, and the history that it began with."""

    fence: Fence
    history: list[Message]


class Resumes(ABC):
    """Used by any thread."""

    @abstractmethod
    def gone_workers(self) -> list[str]:
        """List workers that are known to be gone, as they or their arbiter said."""

    @abstractmethod
    def declare_lost(self, worker_id: str) -> None:
        """End a worker's lease, and send all living workers the signal ``lost``."""

    @abstractmethod
    def of_worker(self, worker_id: str) -> list[tuple[SessionKey, str]]:
        """List the turns of a worker, by their run ids."""

    @abstractmethod
    def of_session(self, key: SessionKey) -> list[tuple[SessionKey, str]]:
        """List the session's turns that no living worker owns."""

    @abstractmethod
    def look(self, key: SessionKey, run_id: str) -> LostTurn | None:
        """Read what a turn is resumed with; None if it may not be, or has ended."""

    @abstractmethod
    def events(self, turn: LostTurn) -> list[bytes]:
        """Read its journal."""

    @abstractmethod
    def take(
        self, turn: LostTurn, worker_id: str, run_id: str, events: Sequence[bytes]
    ) -> Resumed | None:
        """Make it this worker's next attempt, under a new run id, and add events to its journal.

        One that waits for its place stays at its attempt, and gets no events.

        None, and nothing is changed, unless all is as it was when it was looked at: of many that
        want a turn one gets it. It counts among the turns that run until it asks its user again.
        Their seqs begin at `ATTEMPT_SEQS` times the attempts before.
        """
