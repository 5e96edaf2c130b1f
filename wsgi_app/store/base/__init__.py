"""The store contract: a list of atomic operations on sessions, never get and set.

Words: a session's turns are numbered from 1. A turn is *queued*, then *running*, then *ended*; at
most one turn of a session runs, and queued turns start in their order. The turn number and its run
id are the *fence*: a write with a pair that is not the session's raises `Fenced` and changes
nothing. A turn's journal holds its events as JSON, numbered from 1 without a hole; its last event
is its terminal event, written by the same operation that ends the turn (`finish`, `mark_lost`).

Every operation is atomic against all others of all workers, and may be repeated: a retry after a
lost reply finds what the first call did and changes nothing. Every operation raises
`StoreUnavailable` when the store does not answer within its time limit, in which case it may or may
not have happened.

A session lives for ``session_ttl_seconds`` after its last write; heartbeats of its turns renew it.
Another tenant's session is an unknown one.

A running turn survives the loss of its session: `append`, `finish`, `open_input` and `take_input`
make both again if the turn's number is above the session's newest and no other turn runs or waits
there. They never do so for a turn that was deleted with its session.

What is stored comes back as equal JSON, and belongs to the store: a caller may change what
it passed or received.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from wsgi_app.store.base.questions import QuestionOperations
from wsgi_app.store.base.readers import MAX_READ_BYTES, ReaderOperations
from wsgi_app.store.base.sessions import SessionOperations
from wsgi_app.store.base.steers import MAX_STEERS, PostedSteer, SteerOperations
from wsgi_app.store.base.turns import TurnOperations
from wsgi_app.store.base.workers import OBSERVED_SECONDS, WorkerOperations
from wsgi_app.store.offers import Offers
from wsgi_app.store.resumes import Resumes
from wsgi_app.store.values import (
    Appended,
    BeginTurn,
    Closing,
    Fence,
    Heartbeat,
    JournalSlice,
    JournalWrite,
    Message,
    MinuteInfo,
    SessionKey,
    SessionPage,
    SessionState,
    SessionView,
    Signal,
    StartCount,
    StartRate,
    StepWrite,
    StoreLimits,
    TurnBegun,
    TurnClaim,
    TurnInfo,
    WorkerInfo,
    WorkerView,
    mark_of,
    no_messages,
)

__all__ = [
    "MAX_READ_BYTES",
    "MAX_STEERS",
    "OBSERVED_SECONDS",
    "SECRET_BYTES",
    "Appended",
    "BeginTurn",
    "Closing",
    "Fence",
    "Heartbeat",
    "JournalSlice",
    "JournalWrite",
    "Message",
    "MinuteInfo",
    "PostedSteer",
    "SessionKey",
    "SessionPage",
    "SessionState",
    "SessionView",
    "Signal",
    "StartCount",
    "StartRate",
    "StepWrite",
    "Store",
    "StoreLimits",
    "TurnBegun",
    "TurnClaim",
    "TurnInfo",
    "WorkerInfo",
    "WorkerView",
    "mark_of",
    "no_messages",
]


#: As much as an HMAC with SHA-256 takes in (RFC 2104, section 3).
SECRET_BYTES = 32


class Store(
    TurnOperations,
    QuestionOperations,
    SteerOperations,
    ReaderOperations,
    WorkerOperations,
    SessionOperations,
):
    """The operations. Implementations are safe to call from all threads of a worker."""

    #: Whether other workers see the same data.
    shared: bool
    #: How a turn is handed to another worker; None where there is none.
    offers: Offers | None = None
    #: How another worker continues a turn; None where there is none.
    resumes: Resumes | None = None

    @abstractmethod
    def listen(
        self,
        listener: Callable[[Signal], None],
        worker_id: str = "",
        resync: Callable[[], None] | None = None,
    ) -> None:
        """Have the worker's signals passed to ``listener``, on a thread of the store's choice.

        Without a worker every signal comes, each only once. ``resync`` is
        called when signals may have been lost, and come again: look at the flags and journals.
        Both may call the store, but must neither block nor raise.
        """

    @abstractmethod
    def secret(self) -> bytes:
        """A random value of `SECRET_BYTES` that all workers share, made on first use.

        It changes only when the store is emptied.
        """

    @abstractmethod
    def ping(self) -> None:
        """Return if the store accepts writes and signals; raises StoreUnavailable."""

    def check_listening(self) -> None:
        """Return if signals can be received; raises StoreUnavailable."""

    def warnings(self) -> list[str]:
        """Report what is not as it should be although the store works; raises StoreUnavailable."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Close connections and end threads."""
