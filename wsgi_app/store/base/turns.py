"""A turn's life, from its start to its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.events import CancelReason
from wsgi_app.store.values import (
    Appended,
    BeginTurn,
    Fence,
    JournalWrite,
    Message,
    SessionKey,
    TurnBegun,
    TurnClaim,
)


class TurnOperations(ABC):
    """See `Store`."""

    @abstractmethod
    def begin_turn(self, request: BeginTurn) -> TurnBegun:
        """Begin the session's next turn, creating the session if need be.

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
        """Start a queued turn if it is the next; raises Fenced if it has ended or never existed.

        A turn with a cancel flag does not start. A turn that runs already counts as started.
        """

    @abstractmethod
    def append(self, fence: Fence, first_seq: int, events: Sequence[bytes]) -> Appended:
        """Add events to the running turn's journal, skipping those already stored.

        ``first_seq`` numbers the first of ``events``. If it is behind a hole, nothing is
        written: the answer's ``last_seq`` says from where to send again. Raises Fenced when the
        turn does not run.
        """

    @abstractmethod
    def finish(
        self, fence: Fence, first_seq: int, events: Sequence[bytes], messages: Sequence[Message]
    ) -> int:
        """End the turn with its last events, the terminal one at the end of them.

        Adds ``messages`` to the history and returns the last stored seq: a smaller one than that
        of the terminal event means that there was a hole and the turn has not ended. A queued
        turn may be finished too, and leaves nothing in the history. Old turns and exchanges above
        the limits leave now, but neither this turn nor the newest exchange. Raises Fenced when
        another run or `mark_lost` ended it.
        """

    def write(self, writes: Sequence[JournalWrite]) -> list[Appended | Fenced | StoreUnavailable]:
        """Do many appends and finishes, in as few round trips as the store allows.

        Returns what each did, or the exception that it would have raised alone. Raises nothing.
        """
        return [self._write_one(write) for write in writes]

    def _write_one(self, write: JournalWrite) -> Appended | Fenced | StoreUnavailable:
        try:
            if write.messages is None:
                return self.append(write.fence, write.first_seq, write.events)
            return Appended(self.finish(*write[:4]), None)  # type: ignore[arg-type] # there are messages
        except (Fenced, StoreUnavailable) as error:
            return error

    @abstractmethod
    def request_cancel(
        self, key: SessionKey, turn: int | None, reason: CancelReason, *, follower: str = ""
    ) -> list[int]:
        """Set the cancel flag of the named turn, or of all that run and wait.

        Returns their numbers, lowest first; empty when there are none. A flag that is set keeps
        its first reason. ``follower``: a worker that is signalled their end, see `follow`, if one
        of them is another worker's.
        """
