"""What goes into a store's operations and comes out of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Optional

from msgspec import Struct

from wsgi_app.config import Settings
from wsgi_app.events import CancelReason, EventId

#: A chat message, as the providers' chat APIs write it: ``role``, ``content`` and what else the
#: agent keeps with it.
Message = dict[str, Any]


#: In a run id, between what all attempts of a turn share and the attempt.
ATTEMPT_MARK = "~"


def begins_exchange(message: Message) -> bool:
    """Whether a message of the history is one that a turn began with."""
    return message.get("role") == "user" and not message.get("steered")


class SessionKey(NamedTuple):
    """A session's identity; the tenant comes from authentication."""

    tenant: str
    session_id: str


class Fence(NamedTuple):
    """The right to write one turn."""

    key: SessionKey
    turn: int
    run_id: str

    @property
    def mark(self) -> str:
        """See `mark_of`."""
        return mark_of(self.run_id)


@lru_cache(maxsize=1024)  # asked for twice by each start
def mark_of(run_id: str) -> str:
    """What readers' cursors call a run: short, and without the count that is in its id.

    The runs of a turn that another worker has continued have one mark, see `next_run_id`.
    """
    stem = run_id.partition(ATTEMPT_MARK)[0]
    return hashlib.sha1(stem.encode(), usedforsecurity=False).hexdigest()[:12]


def next_run_id(run_id: str, attempt: int, nonce: str) -> str:
    """The run id of a turn's next attempt: another fence, and the same mark."""
    return f"{run_id.partition(ATTEMPT_MARK)[0]}{ATTEMPT_MARK}{attempt}.{nonce}"


class StoreLimits(Struct, frozen=True, kw_only=True):
    """The bounds that a store keeps."""

    max_queued_turns: int = 10
    max_turns_per_tenant: int = 20
    #: Turns that wait for their users' answers; those above it count among the others.
    max_asking_turns_per_tenant: int = 100
    max_sessions_per_tenant: int = 10_000
    #: Events and history of its sessions, as they were when a turn of each last ended.
    max_stored_bytes_per_tenant: int = 10_737_418_240
    max_idempotency_keys: int = 1000
    session_ttl_seconds: float = 86_400
    lease_seconds: float = 10
    #: Whole old turns leave a session's journal, as JSON, when one ends above this; that one stays.
    journal_bytes: int = 8_388_608
    #: Whole old exchanges leave a session's history, as JSON, above this; the newest stays.
    history_bytes: int = 1_048_576
    #: How many workers may run a turn, one after the other; see `Resumes`.
    max_attempts: int = 1
    #: Of all steps of a turn; one with more cannot be continued.
    record_bytes: int = 1_048_576

    @classmethod
    def from_settings(cls, settings: Settings) -> StoreLimits:
        """Take over the bounds that settings name."""
        return cls(
            max_queued_turns=settings.max_queued_turns,
            max_turns_per_tenant=settings.max_turns_per_tenant,
            max_asking_turns_per_tenant=settings.max_asking_turns_per_tenant,
            max_sessions_per_tenant=settings.max_sessions_per_tenant,
            max_stored_bytes_per_tenant=settings.max_stored_bytes_per_tenant,
            session_ttl_seconds=settings.session_ttl_seconds,
            lease_seconds=settings.lease_seconds,
            journal_bytes=2 * settings.max_output_bytes,
            max_attempts=settings.max_attempts,
        )


class BeginTurn(Struct, frozen=True, kw_only=True):
    """A request for a turn; ``run_id`` is its nonce and becomes part of its fence."""

    key: SessionKey
    run_id: str
    worker_id: str
    message: str
    #: The message's name in the history, by which readers find its exchange.
    message_id: str = ""
    #: What came with the message, as the history describes files.
    files: list[dict[str, Any]] = []
    if_busy: Literal["reject", "enqueue", "interrupt"] = "reject"
    #: Whether the newest exchange leaves the history when the turn starts: it is answered again.
    regenerates: bool = False
    idempotency_key: Optional[str] = None
    #: Digest of the request, to tell a retry from another request under the same key.
    request_digest: str = ""
    #: What the turn's wire wants back, see `Store.turn_note`; it leaves with the turn's journal.
    note: bytes = b""
    #: How many turns the tenant may start; None for any number.
    rate: Optional[StartRate] = None
    #: What another worker continues from, see `Resumes`; empty where none should.
    resume: bytes = b""

    @property
    def user_message(self) -> Message:
        """The user's message as the history keeps it."""
        more: Message = {"id": self.message_id} if self.message_id else {}
        if self.files:
            more["files"] = self.files
        return {"role": "user", "content": self.message, **more}


class StartRate(NamedTuple):
    """How many turns a tenant may start in a window of this length."""

    amount: int
    window_seconds: int


class StartCount(NamedTuple):
    """A tenant's starts in a sliding window.

    The window before the current one counts by the share of it that the sliding window still
    covers, ``before_left_seconds``. ``current_left_seconds``: until the current one is that.
    """

    before: int
    before_left_seconds: float
    current: int
    current_left_seconds: float


class TurnBegun(NamedTuple):
    """What `begin_turn` did. ``history`` is what came before the turn, empty unless started.

    ``starts``: the tenant's starts, this one among them; None if it is none, or not limited.
    ``owner_before``: whose the session was, of a turn that has started; '' if that is not known.
    ``followed``: whether readers on other workers wait for the events of a turn that has started.
    """

    state: Literal["started", "queued", "attached"]
    turn: int
    history: list[Message]
    starts: StartCount | None = None
    owner_before: str = ""
    followed: bool = False


class TurnClaim(NamedTuple):
    """A queued turn's place: it runs now, still waits, or should end for ``cancel``'s reason."""

    state: Literal["started", "waiting"]
    history: list[Message]
    cancel: CancelReason | None


class Appended(NamedTuple):
    """``last_seq``: the last stored event of the turn, 0 for none; ``cancel``: its cancel flag.

    ``followed``: readers on other workers wait for the session's events; see `Store.follow`.
    """

    last_seq: int
    cancel: CancelReason | None
    followed: bool = False


class StepWrite(NamedTuple):
    """The record of a turn's step, by its number from 1; see `Resumes`. 0 records nothing.

    ``resume``: what `BeginTurn.resume` is, where that was not known then; else empty.
    """

    number: int
    record: bytes
    resume: bytes = b""


class JournalWrite(NamedTuple):
    """One turn's part of `Store.write`: an `append`, or a `finish` when there are ``messages``.

    ``step`` is recorded by the same operation once all of ``events`` are stored, and not before.
    """

    fence: Fence
    first_seq: int
    events: Sequence[bytes]
    messages: Sequence[Message] | None = None
    step: StepWrite | None = None


class Heartbeat(NamedTuple):
    """What a worker learns of its turns.

    ``cancels``: those with a cancel flag. ``fenced``: those that are no longer its own.
    ``observed``: whether somebody wants to know of each of its turns, see `Store.observe_workers`.
    ``followed``: what is changed by each new turn of a followed session, and by its deletion.
    """

    cancels: dict[Fence, CancelReason]
    fenced: list[Fence]
    observed: bool = False
    followed: Mapping[SessionKey, str] = MappingProxyType({})


class TurnInfo(Struct, frozen=True, kw_only=True):
    """A turn that runs, asks its user or waits for its place, as its worker reports it."""

    tenant: str
    session_id: str
    turn: int
    state: Literal["running", "asking", "waiting"]
    begun_at: float
    #: Pieces of the answer so far.
    tokens: int


class MinuteInfo(Struct, frozen=True, array_like=True):
    """A minute of a worker: which one since the epoch, most turns at once, and turns begun."""

    minute: int
    most: int
    begun: int


class WorkerInfo(Struct, frozen=True, kw_only=True):
    """What a worker reports about itself with each heartbeat; times are seconds since the epoch."""

    hostname: str = ""
    pid: int = 0
    #: When the worker began its work, and when it sent this, both by its own clock.
    started_at: float = 0.0
    sent_at: float = 0.0
    #: Turns that run and wait.
    turns: int = 0
    #: Readers in its process, of how many; None where there is no bound.
    slots_used: int = 0
    slots: Optional[int] = None
    draining: bool = False
    #: While somebody watches: its turns, the oldest first, how many more there are, and its last
    #: hour.
    live: tuple[TurnInfo, ...] = ()
    left_out: int = 0
    hour: tuple[MinuteInfo, ...] = ()


class WorkerView(Struct, frozen=True, kw_only=True):
    """A living worker: when its last heartbeat came, by the store's clock, and what it reported."""

    worker_id: str
    seen_at: float
    info: WorkerInfo


class JournalSlice(NamedTuple):
    """Stored events after a cursor, and what to expect behind them.

    ``events`` are in order and end at the first turn that has not ended. ``has_gap``: events
    between the cursor and the first of ``events`` (or of ``live_turn``) are no longer kept.
    ``live_turn``: the lowest turn, not before the cursor's, that has not ended.

    The cursor ``0-0`` is the start of what is kept, and misses nothing. One above the newest turn,
    or with the mark of another run, is of a session that is gone: it has missed what it stood on,
    and reads all that is kept. ``marks``: of the turns of ``events``, and of the newest one.
    """

    events: list[tuple[EventId, bytes]]
    has_gap: bool
    live_turn: int | None
    newest_turn: int
    marks: Mapping[int, str] = MappingProxyType({})


class SessionState(Struct, frozen=True, kw_only=True):
    """A session as others see it; times are seconds since the epoch."""

    session_id: str
    turn: int
    #: Numbers of the turns that run (first) and wait.
    active_turns: tuple[int, ...]
    owner: str
    created_at: float
    updated_at: float


class SessionView(SessionState, frozen=True, kw_only=True):
    """A session with its messages."""

    messages: list[Message]


class SessionPage(NamedTuple):
    """Sessions, newest first; ``next_cursor`` continues the list."""

    sessions: list[SessionState]
    next_cursor: str | None


class Signal(NamedTuple):
    """A push to the workers; a lost one is healed by the next append or heartbeat.

    To the turn's worker go ``cancel`` (the turn's flag is ``value``, a CancelReason), ``input``
    (the answer to the question ``value`` is there to take), ``steer`` (so is a message to the
    turn) and ``follow`` (a reader on another worker waits for events). ``ended`` (the turn has
    ended, the next queued one may be claimed) goes to the workers of waiting turns and of
    followers, but not to the one that has written the end, and to followers when the session is
    deleted; of a lost worker's turn to that one too. ``events`` (the journal has grown) goes to
    followers. ``moved`` (another worker runs the session's turns from now on, or the session was
    deleted) goes to the worker that ran them before. ``offer`` (a turn, whose run id is ``value``,
    waits to be taken, see `Offers`) goes to the worker that is to take it. ``lost`` (the worker
    ``value`` is gone, its turns have no owner) goes to all workers, and concerns no session.
    """

    kind: Literal["cancel", "input", "steer", "follow", "ended", "events", "moved", "offer", "lost"]
    key: SessionKey
    turn: int
    value: str = ""


#: Makes messages of a turn's events, as JSON.
Closing = Callable[[Sequence[bytes]], Sequence[Message]]


def no_messages(events: Sequence[bytes]) -> Sequence[Message]:
    """Leave a lost turn's answer out of the history."""
    del events
    return ()
