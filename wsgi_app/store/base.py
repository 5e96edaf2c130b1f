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
make both anew if the turn's number is above the session's newest and no other turn runs or waits
there. They never do so for a turn that was deleted with its session.

What is stored comes back as equal JSON, and is nobody's but the store's: a caller may change what
it gave or got.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.events import CancelReason, EventId
from wsgi_app.store.offers import Offers
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
    SessionView,
    Signal,
    StartCount,
    StartRate,
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
    "SessionKey",
    "SessionPage",
    "SessionView",
    "Signal",
    "StartCount",
    "StartRate",
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
#: What one read brings: a turn's events may be megabytes, and many readers ask at a time.
MAX_READ_BYTES = 262_144
#: How long workers tell of their turns after somebody has looked.
WATCH_SECONDS = 10.0


class Store(ABC):
    """The operations. Implementations are safe to call from all threads of a worker."""

    #: Whether other workers see the same data.
    shared: bool
    #: How a turn is handed to another worker; None where there is none.
    offers: Offers | None = None

    @abstractmethod
    def begin_turn(self, request: BeginTurn) -> TurnBegun:
        """Give the session its next turn, creating the session if need be.

        *started*: the turn runs and the user's message is in the history. *queued*: another one
        runs or waits; see `claim_turn`. *attached*: the idempotency key belongs to this earlier
        turn, or the request's own turn has ended since (its run id is known while its journal is
        kept). With ``if_busy="interrupt"`` all running and queued turns get the cancel flag
        ``interrupted``, and no bound on queued turns applies. With ``regenerates`` a turn that
        starts at once first takes the newest exchange out of the history: the user's newest
        message and all behind it.

        Raises RequestError with ``session_busy`` (details: ``turn_id`` of the turn that runs, or
        waits first), ``queue_full`` (waiting turns that are to be cancelled do not count),
        ``too_many_turns``, ``too_many_sessions`` or ``idempotency_key_reused``; nothing is changed
        then, and the key is not used up. The newest ``max_idempotency_keys`` keys of a session are
        known.

        With a ``rate`` the start is counted, in a sliding window of the tenant's, unless it comes
        to nothing. One too many begins no turn: what is not attached raises TooManyStarts, or is
        refused for one of the session's reasons if it has an idempotency key. A start whose reply
        was lost may count twice.
        """

    @abstractmethod
    def claim_turn(self, fence: Fence) -> TurnClaim:
        """Start a queued turn if it is its turn; raises Fenced if it has ended or never was.

        A turn with a cancel flag does not start. A turn that runs already is answered as started.
        """

    @abstractmethod
    def append(self, fence: Fence, first_seq: int, events: Sequence[bytes]) -> Appended:
        """Add events to the running turn's journal, skipping those already stored.

        ``first_seq`` numbers the first of ``events``. If it lies behind a hole, nothing is
        written: the answer's ``last_seq`` says from where to send again. Raises Fenced when the
        turn does not run.
        """

    @abstractmethod
    def finish(
        self, fence: Fence, first_seq: int, events: Sequence[bytes], messages: Sequence[Message]
    ) -> int:
        """End the turn with its last events, the terminal one at the end of them.

        Adds ``messages`` to the history and answers the last stored seq: a smaller one than that
        of the terminal event means that there was a hole and the turn has not ended. A queued
        turn may be finished too, and leaves nothing in the history. Old turns and exchanges above
        the limits leave now, but neither this turn nor the newest exchange. Raises Fenced when
        another run or `mark_lost` ended it.
        """

    def write(self, writes: Sequence[JournalWrite]) -> list[Appended | Fenced | StoreUnavailable]:
        """Do many appends and finishes, in as few round trips as the store allows.

        Answers what each did, or the exception that it would have raised alone. Raises nothing.
        """
        return [self._write_one(write) for write in writes]

    def _write_one(self, write: JournalWrite) -> Appended | Fenced | StoreUnavailable:
        try:
            if write.messages is None:
                return self.append(write.fence, write.first_seq, write.events)
            return Appended(self.finish(*write), None)  # type: ignore[arg-type] # there are messages
        except (Fenced, StoreUnavailable) as error:
            return error

    @abstractmethod
    def follow(self, worker_id: str, key: SessionKey) -> None:
        """Have this worker told, for a lease from now, of every event of the session.

        It gets the signals ``events`` and ``ended``; heartbeats renew it. Nothing happens for an
        unknown session.
        """

    @abstractmethod
    def read(
        self, key: SessionKey, after: EventId, max_events: int, mark: str = ""
    ) -> JournalSlice | None:
        """Read what is stored after a cursor; None for an unknown session.

        ``mark``: of the run that the cursor is of, '' where the reader does not say.

        At most ``max_events``, and so many that they have `MAX_READ_BYTES`, but at least one.
        """

    @abstractmethod
    def request_cancel(self, key: SessionKey, turn: int | None, reason: CancelReason) -> list[int]:
        """Set the cancel flag of the named turn, or of all that run and wait.

        Answers their numbers, lowest first; empty when there are none. A flag that is set keeps
        its first reason.
        """

    @abstractmethod
    def open_input(self, fence: Fence, request_id: str) -> None:
        """Make this the session's pending question, instead of an earlier one.

        Until its answer is taken, or it is closed, the turn counts among those that ask, while
        these are fewer than their bound, and not among the tenant's running ones.

        Raises Fenced when the turn does not run.
        """

    @abstractmethod
    def post_input(self, key: SessionKey, request_id: str, value: bytes) -> None:
        """Answer the pending question; raises RequestError ``no_pending_input``.

        A question takes one answer: to post another, even an equal one, is refused.
        """

    @abstractmethod
    def take_input(self, fence: Fence, request_id: str) -> bytes | None:
        """Take the answer; None while there is none. Raises Fenced when the turn does not run.

        It may be taken again until the question is closed, replaced or its turn has ended. A
        question that was lost with its session is asked anew.
        """

    @abstractmethod
    def close_input(self, fence: Fence, request_id: str) -> None:
        """Withdraw the question, if it is still there; an answer that came is dropped."""

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

        A turn that was made anew is the worker's from then on. A worker counts as alive for a
        lease from its last heartbeat, and as the owner of the turns that it listed then, and of
        those that it began since.
        """

    @abstractmethod
    def leave(self, worker_id: str) -> None:
        """Forget a worker that has ended its turns and goes."""

    @abstractmethod
    def workers(self) -> list[WorkerView]:
        """List the workers that are alive, by their ids."""

    @abstractmethod
    def watch_workers(self) -> list[WorkerView]:
        """List them like `workers`, and have them tell of their turns for `WATCH_SECONDS`.

        Their next heartbeats are told that they are ``watched``.
        """

    @abstractmethod
    def lost_workers(self) -> list[str]:
        """Find workers whose lease has run out; see `mark_lost`."""

    @abstractmethod
    def mark_lost(self, worker_id: str, error: bytes, close: Closing = no_messages) -> list[Fence]:
        """End every turn of a dead worker with the terminal event ``error``, at seq `LOST_SEQ`.

        Queued ones too. ``close`` makes what a turn that ran adds to the history of the events
        that its journal holds then. Answers the fences of those that it ended, and forgets the
        worker.
        """

    @abstractmethod
    def settle_session(
        self, key: SessionKey, error: bytes, close: Closing = no_messages
    ) -> list[Fence]:
        """End the session's turns that no living worker owns, like `mark_lost`.

        Such are turns of an unknown worker, and turns begun longer than a lease ago that their
        worker did not list in its last heartbeat: it never learnt that it had begun them.
        """

    @abstractmethod
    def describe_session(self, key: SessionKey, *, messages: bool = True) -> SessionView | None:
        """Describe a session; None for an unknown one.

        Its messages may be many megabytes: who needs none says so. Raises RequestError
        ``at_capacity`` where too many such are read at once.
        """

    @abstractmethod
    def list_sessions(self, tenant: str, limit: int, cursor: str | None) -> SessionPage:
        """List a tenant's sessions by creation, newest first, at most ``limit`` (from 1).

        Raises ValueError for a cursor that is none of ``next_cursor``.
        """

    @abstractmethod
    def recent_sessions(self, tenants: Sequence[str], seconds: float) -> list[SessionKey]:
        """List sessions of these tenants that were created within so long, in any order.

        A session may be listed a moment before its first turn has begun, or after its deletion.
        """

    @abstractmethod
    def delete_session(self, key: SessionKey, newest_turn: int | None = None) -> bool:
        """Forget a session; False for an unknown one. A later one of its id starts with turn 1.

        With ``newest_turn`` only while that turn is its newest; False if it is not.

        Turns that run or wait get the cancel flag ``deleted``, as a signal alone; they are fenced
        from then on, and cannot make the session anew.
        """

    @abstractmethod
    def listen(
        self,
        listener: Callable[[Signal], None],
        worker_id: str = "",
        resync: Callable[[], None] | None = None,
    ) -> None:
        """Have the worker's signals passed to ``listener``, on a thread of the store's choice.

        Without a worker every signal comes, once however many workers it goes to. ``resync`` is
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
        """Return when the store takes writes and signals; raises StoreUnavailable."""

    def check_listening(self) -> None:  # noqa: B027 - most need no right for it
        """Return when signals can be heard; raises StoreUnavailable."""

    def warnings(self) -> list[str]:
        """Say what is not as it should be, though the store works; raises StoreUnavailable."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Give back connections and threads."""
