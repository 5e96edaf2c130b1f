"""One session of the memory store; its lock is the store's."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, Optional

import msgspec
from msgspec import Struct, field
from msgspec.structs import asdict

from wsgi_app.errors import Fenced
from wsgi_app.events import LOST_SEQ, EventId, encode_json
from wsgi_app.store.base import (
    MAX_READ_BYTES,
    BeginTurn,
    Closing,
    Fence,
    JournalSlice,
    Message,
    SessionKey,
    SessionState,
    SessionView,
    Signal,
    StoreLimits,
    TurnBegun,
    TurnClaim,
)
from wsgi_app.store.memory.turn import Question, Turn
from wsgi_app.store.refusals import refusal
from wsgi_app.store.values import begins_exchange

#: A signal and the worker that it goes to.
Push = tuple[str, Signal]


class Session(Struct, eq=False):
    """A session's turns, history, idempotency keys and question.

    Messages are kept as JSON, so that no caller changes the store's copy through its own.
    """

    created_at: float
    updated_at: float
    expires_at: float
    newest_turn: int = 0
    #: What is kept with the session itself.
    note: bytes = b""
    owner: str = ""
    #: The kept turns, by number; `_runs` holds the same ones by run id.
    turns: dict[int, Turn] = {}
    _runs: dict[str, Turn] = {}
    #: The turns that run (first) and wait.
    active: list[Turn] = []
    #: The last event that is no longer kept.
    _dropped: EventId = EventId(0, 0)
    _messages: list[bytes] = []
    _keys: OrderedDict[str, tuple[int, str]] = field(default_factory=OrderedDict)
    question: Optional[Question] = None
    #: The turn that waits for its user's answer.
    asking_turn: Optional[int] = None
    #: Workers whose readers wait for events, and until when.
    _followers: dict[str, float] = {}

    def follow(self, worker_id: str, until: float) -> None:
        """Note a worker that waits for events."""
        self._followers[worker_id] = until

    def followers(self, now: float) -> list[str]:
        """The workers that wait for events."""
        self._followers = {w: until for w, until in self._followers.items() if until > now}
        return list(self._followers)

    def find(self, fence: Fence) -> Turn:
        """Find the turn of a fence; raises Fenced."""
        turn = self.turns.get(fence.turn)
        if turn is None or turn.run_id != fence.run_id:
            raise Fenced
        return turn

    # -- beginning

    def find_earlier(self, request: BeginTurn) -> TurnBegun | None:
        """Find the turn that this request, or one with its idempotency key, began."""
        if request.run_id in self._runs:
            return _begun(self._runs[request.run_id])
        if request.idempotency_key is None or request.idempotency_key not in self._keys:
            return None
        number, digest = self._keys[request.idempotency_key]
        if digest != request.request_digest:
            raise refusal("idempotency_key_reused")
        return TurnBegun("attached", number, [])

    def check_busy(self, request: BeginTurn, limits: StoreLimits) -> None:
        """Refuse what ``if_busy`` does not allow now."""
        active = self.active
        if not active:
            return
        if request.if_busy == "reject":
            raise refusal("session_busy", turn=str(active[0].number))
        waiting = [turn for turn in active if turn.state == "queued" and turn.cancel is None]
        if request.if_busy == "enqueue" and len(waiting) >= limits.max_queued_turns:
            raise refusal("queue_full")

    def begin(self, request: BeginTurn, limits: StoreLimits, now: float) -> TurnBegun:
        """Add the next turn, and start it if none runs or waits."""
        is_idle = not self.active
        number = self.newest_turn + 1
        turn = Turn(number, request.run_id, request.worker_id, request.user_message)
        turn.begun_at, turn.note, turn.journal_bytes = now, request.note, len(request.note)
        self._add(turn)
        if request.idempotency_key is not None:
            self.note_key(request.idempotency_key, number, request.request_digest, limits)
        if not is_idle:
            return TurnBegun("queued", number, [])
        if request.regenerates:
            self._messages = self._messages[: _start_of_newest_exchange(self._messages)]
        self._start(turn)
        followed = bool(self._followers and self.followers(now))
        history = _decode(turn.history) if turn.history else []
        return TurnBegun("started", number, history, followed=followed)

    def note_key(self, key: str, turn: int, digest: str, limits: StoreLimits) -> None:
        """Let an idempotency key be a turn's, unless it is known."""
        self._keys.setdefault(key, (turn, digest))
        while len(self._keys) > limits.max_idempotency_keys:
            self._keys.popitem(last=False)

    def claim(self, turn: Turn) -> TurnClaim:
        """Start a queued turn if it is the next and not to be cancelled."""
        is_next = self.active[0] is turn
        if turn.state == "queued" and turn.cancel is None and is_next:
            self._start(turn)
        state: Literal["started", "waiting"] = "started" if turn.state == "running" else "waiting"
        return TurnClaim(state, _decode(turn.history), turn.cancel)

    def revive(self, fence: Fence) -> None:
        """Make a running turn again that the store has lost."""
        if fence.turn > self.newest_turn + 1:
            # The turns between are lost: keeping older ones would hide that from readers.
            self.turns.clear()
            self._runs.clear()
            self._dropped = EventId(fence.turn - 1, LOST_SEQ)
        turn = Turn(fence.turn, fence.run_id, "", {})
        turn.state = "running"
        self._add(turn)

    def _add(self, turn: Turn) -> None:
        self.newest_turn = turn.number
        self.turns[turn.number] = self._runs[turn.run_id] = turn
        self.active.append(turn)

    def _start(self, turn: Turn) -> None:
        turn.state = "running"
        turn.history = self._messages
        self.owner = turn.worker_id
        self._messages = [*self._messages, encode_json(turn.message)]

    # -- running

    def ask(self, turn: Turn, request_id: str) -> None:
        """Make this the question, unless it is already."""
        if self.question is None or self.question[:2] != (turn.number, request_id):
            self.question = Question(turn.number, request_id, None)
        self.asking_turn = turn.number

    def take_answer(self, turn: Turn, request_id: str) -> bytes | None:
        """The answer if there is one; the turn counts as a running one from then on."""
        if self.question is None:  # it was lost with its session
            self.question = Question(turn.number, request_id, None)
        if self.question[:2] != (turn.number, request_id) or self.question.answer is None:
            return None
        self.asking_turn = None
        return self.question.answer

    def close_question(self, turn: int, request_id: str) -> None:
        """Withdraw this question if it is still there."""
        if self.question is not None and self.question[:2] == (turn, request_id):
            self.question = self.asking_turn = None

    def adopt(self, fence: Fence, worker_id: str) -> Turn | None:
        """Note which worker has the turn, unknown for one made again; None if it has ended."""
        turn = self.turns.get(fence.turn)
        if turn is None or turn.run_id != fence.run_id or turn.state == "ended":
            return None
        turn.worker_id = worker_id
        if turn.state == "running":
            self.owner = worker_id
        return turn

    # -- ending

    def end(self, turn: Turn, messages: Sequence[bytes], limits: StoreLimits) -> None:
        """End a turn whose terminal event is written."""
        if turn.state == "running":
            self._messages = _trim_history([*self._messages, *messages], limits.history_bytes)
        turn.state = "ended"
        self.active.remove(turn)
        turn.message = {}
        turn.history = []
        turn.steers = {}
        if self.question is not None and self.question.turn == turn.number:
            self.question = None
        if self.asking_turn == turn.number:
            self.asking_turn = None
        self._trim_journal(turn, limits.journal_bytes)

    def lose(self, turn: Turn, error: bytes, close: Closing, limits: StoreLimits) -> None:
        """End a dead worker's turn, with what its journal holds."""
        messages = [encode_json(message) for message in close(turn.events)]
        turn.lose(error)
        self.end(turn, messages, limits)

    def moved(self, key: SessionKey, owner_before: str) -> list[Push]:
        """The signal for the worker that was the owner."""
        return [(owner_before, Signal("moved", key, self.newest_turn))]

    def recall(self, messages: Sequence[Message]) -> None:
        """Begin with this history."""
        self._messages = [encode_json(message) for message in messages]

    def stored_bytes(self) -> int:
        """What its turns and messages have as JSON."""
        return sum(t.journal_bytes for t in self.turns.values()) + sum(map(len, self._messages))

    def _trim_journal(self, ended: Turn, journal_bytes: int) -> None:
        size = sum(turn.journal_bytes for turn in self.turns.values())
        for turn in list(self.turns.values()):
            if size <= journal_bytes or turn is ended or turn.state != "ended":
                return
            size -= turn.journal_bytes
            self._dropped = turn.last_id
            del self.turns[turn.number], self._runs[turn.run_id]

    # -- reading

    def read(self, after: EventId, max_events: int, mark: str) -> JournalSlice:
        """See `Store.read`."""
        stood_in = self.turns.get(after.turn)
        of_another = bool(mark) and (stood_in is None or stood_in.mark != mark)
        ahead = after.turn > self.newest_turn or of_another
        has_gap = ahead or EventId(0, 0) < after < self._dropped
        start = EventId(0, 0) if ahead else after
        rows: list[tuple[EventId, bytes]] = []
        live_turn = None
        for number, turn in self.turns.items():
            if number < start.turn:
                continue
            after_seq = start.seq if number == start.turn else 0
            rows += turn.read(after_seq, max_events - len(rows))
            if turn.state != "ended":
                live_turn = number
                break
        sizes = itertools.accumulate(len(json) for _, json in rows)
        rows = rows[: max(1, sum(size <= MAX_READ_BYTES for size in sizes))]
        turn_numbers = {position.turn for position, _ in rows} | {self.newest_turn}
        known = turn_numbers & self.turns.keys()
        marks = {number: self.turns[number].mark for number in known}
        return JournalSlice(rows, has_gap, live_turn, self.newest_turn, marks)

    def state(self, key: SessionKey) -> SessionState:
        """Describe the session."""
        return SessionState(
            session_id=key.session_id,
            turn=self.newest_turn,
            active_turns=tuple(turn.number for turn in self.active),
            owner=self.owner,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def view(self, key: SessionKey) -> SessionView:
        """Describe the session with its messages."""
        return SessionView(**asdict(self.state(key)), messages=_decode(self._messages))


def _begun(turn: Turn) -> TurnBegun:
    if turn.state == "ended":
        return TurnBegun("attached", turn.number, [])
    state: Literal["started", "queued"] = "started" if turn.state == "running" else "queued"
    return TurnBegun(state, turn.number, _decode(turn.history))


def _decode(messages: Sequence[bytes]) -> list[Message]:
    return [msgspec.json.decode(message) for message in messages]


def _start_of_newest_exchange(messages: list[bytes]) -> int:
    return max(_starts_of_exchanges(messages), default=0)


def _starts_of_exchanges(messages: list[bytes]) -> list[int]:
    decoded = _decode(messages)
    return [index for index, message in enumerate(decoded) if begins_exchange(message)]


def _trim_history(messages: list[bytes], history_bytes: int) -> list[bytes]:
    """Drop whole old exchanges, each from a user's message up to the next one."""
    first, size = 0, sum(map(len, messages))
    if size > history_bytes:
        for start in _starts_of_exchanges(messages):
            if size <= history_bytes:
                break
            size -= sum(map(len, messages[first:start]))
            first = start
    return messages[first:]
