"""One session of the memory store; its lock is the store's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from wsgi_app.errors import RequestError
from wsgi_app.events import LOST_SEQ, CancelReason, EventId
from wsgi_app.store.base import (
    BeginTurn,
    Fence,
    JournalSlice,
    Message,
    SessionKey,
    SessionView,
    StoreLimits,
    TurnBegun,
)


class Turn:
    """A turn and its journal."""

    def __init__(self, number: int, run_id: str, worker_id: str, message: str) -> None:
        self.number = number
        self.run_id = run_id
        self.worker_id = worker_id
        self.message = message
        self.state: Literal["queued", "running", "ended"] = "queued"
        self.cancel: CancelReason | None = None
        self.events: list[bytes] = []
        self.journal_bytes = 0
        self.lost: bytes | None = None

    def append(self, first_seq: int, events: Sequence[bytes]) -> None:
        stored = len(self.events)
        if first_seq > stored + 1:
            return
        new = events[stored + 1 - first_seq :]
        self.events.extend(new)
        self.journal_bytes += sum(map(len, new))

    def end(self) -> None:
        self.state = "ended"
        self.message = ""

    def lose(self, error: bytes) -> None:
        self.lost = error
        self.journal_bytes += len(error)
        self.end()

    def read(self, after_seq: int, max_events: int) -> list[tuple[EventId, bytes]]:
        chosen = self.events[after_seq : after_seq + max_events]
        rows = [(EventId(self.number, after_seq + 1 + i), json) for i, json in enumerate(chosen)]
        if self.lost is not None and after_seq < LOST_SEQ and len(rows) < max_events:
            rows.append((EventId(self.number, LOST_SEQ), self.lost))
        return rows


class Session:
    """A session's turns, history, idempotency keys and pending question."""

    def __init__(self, created_at: float) -> None:
        self.created_at = created_at
        self.updated_at = created_at
        self.newest_turn = 0
        self.turns: OrderedDict[int, Turn] = OrderedDict()
        self._active: list[int] = []
        self.owner = ""
        self.messages: list[Message] = []
        self.keys: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self.question: tuple[int, str, bytes | None] | None = None

    def active_turns(self) -> list[Turn]:
        self._active = [n for n in self._active if self.turns[n].state != "ended"]
        return [self.turns[number] for number in self._active]

    # -- beginning

    def find_earlier(self, request: BeginTurn) -> TurnBegun | None:
        """Find the turn that this request, or one with its idempotency key, began."""
        for turn in self.active_turns():
            if turn.run_id == request.run_id:
                if turn.state == "running":
                    return TurnBegun("started", turn.number, self.messages[:-1])
                return TurnBegun("queued", turn.number, [])
        if request.idempotency_key is None or request.idempotency_key not in self.keys:
            return None
        number, digest = self.keys[request.idempotency_key]
        if digest != request.request_digest:
            raise RequestError(
                "idempotency_key_reused", "This Idempotency-Key was used for another request."
            )
        return TurnBegun("attached", number, [])

    def check_busy(self, request: BeginTurn, limits: StoreLimits) -> None:
        active = self.active_turns()
        if not active:
            return
        if request.if_busy == "reject":
            raise RequestError(
                "session_busy",
                "A turn of this session is running.",
                {"turn_id": str(active[0].number)},
            )
        waiting = [turn for turn in active if turn.state == "queued" and turn.cancel is None]
        if request.if_busy == "enqueue" and len(waiting) >= limits.max_queued_turns:
            raise RequestError("queue_full", "Too many turns of this session are waiting.")

    def begin(self, request: BeginTurn, limits: StoreLimits, now: float) -> TurnBegun:
        self.updated_at = now
        self.newest_turn += 1
        turn = Turn(self.newest_turn, request.run_id, request.worker_id, request.message)
        busy = bool(self.active_turns())
        self.turns[turn.number] = turn
        self._active.append(turn.number)
        if request.idempotency_key is not None:
            self.keys[request.idempotency_key] = (turn.number, request.request_digest)
            while len(self.keys) > limits.max_idempotency_keys:
                self.keys.popitem(last=False)
        if busy:
            return TurnBegun("queued", turn.number, [])
        history = list(self.messages)
        self.start(turn)
        return TurnBegun("started", turn.number, history)

    def is_next(self, turn: Turn) -> bool:
        return self.active_turns()[0] is turn

    def start(self, turn: Turn) -> None:
        turn.state = "running"
        self.owner = turn.worker_id
        self.messages = [*self.messages, {"role": "user", "content": turn.message}]

    def revive(self, fence: Fence) -> None:
        """Make a turn anew that the store has lost."""
        turn = Turn(fence.turn, fence.run_id, "", "")
        turn.state = "running"
        self.newest_turn = fence.turn
        self.turns[fence.turn] = turn
        self._active.append(fence.turn)

    # -- ending

    def close_question(self, turn: int) -> None:
        if self.question is not None and self.question[0] == turn:
            self.question = None

    def add_messages(self, messages: Sequence[Message], history_bytes: int) -> None:
        kept = [*self.messages, *messages]
        size = sum(_message_bytes(message) for message in kept)
        while size > history_bytes and len(kept) > 1:
            # An exchange goes as a whole: up to the next message of the user.
            size -= _message_bytes(kept.pop(0))
            while kept and kept[0].get("role") != "user":
                size -= _message_bytes(kept.pop(0))
        self.messages = kept

    def trim_journal(self, journal_bytes: int) -> None:
        size = sum(turn.journal_bytes for turn in self.turns.values())
        for turn in list(self.turns.values()):
            if size <= journal_bytes or turn.number == self.newest_turn or turn.state != "ended":
                return
            size -= turn.journal_bytes
            del self.turns[turn.number]

    # -- reading

    def read(self, after: EventId, max_events: int) -> JournalSlice:
        oldest = next(iter(self.turns))
        ahead = after.turn > self.newest_turn
        missed = ahead or (0, 0) < after < (oldest, 0)
        cursor = EventId(oldest, 0) if ahead or after.turn < oldest else after
        rows: list[tuple[EventId, bytes]] = []
        live_turn = None
        for number, turn in self.turns.items():
            if number < cursor.turn:
                continue
            after_seq = cursor.seq if number == cursor.turn else 0
            rows += turn.read(after_seq, max_events - len(rows))
            if turn.state != "ended":
                live_turn = number
                break
        return JournalSlice(rows, missed, live_turn, self.newest_turn)

    def view(self, key: SessionKey, *, with_messages: bool) -> SessionView:
        return SessionView(
            session_id=key.session_id,
            turn=self.newest_turn,
            active_turns=tuple(turn.number for turn in self.active_turns()),
            owner=self.owner,
            created_at=self.created_at,
            updated_at=self.updated_at,
            messages=list(self.messages) if with_messages else [],
        )


def _message_bytes(message: Message) -> int:
    return sum(len(str(value)) for value in message.values())
