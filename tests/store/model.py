"""What the store contract means, in the plainest way: all turns ever, and a look over all of them.

Independent of any backend. One thread, no clock, no signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wsgi_app.errors import Fenced, RequestError
from wsgi_app.events import LOST_SEQ, CancelReason, EventId, encode_json
from wsgi_app.store.base import (
    Appended,
    BeginTurn,
    Fence,
    Heartbeat,
    JournalSlice,
    Message,
    SessionKey,
    StepWrite,
    StoreLimits,
    TurnBegun,
    TurnClaim,
    mark_of,
)
from wsgi_app.store.resumes import ATTEMPT_SEQS, LostTurn, Resumed


class Refused(Exception):  # noqa: N818 - a store may refuse for any of these reasons
    """Everything that speaks against a request."""

    def __init__(self, codes: set[str]) -> None:
        super().__init__(codes)
        self.codes = codes


def comparable(answer: object) -> object:
    """What a store answers without what the model does not know: owners before, readers, time."""
    if isinstance(answer, TurnBegun):
        return answer._replace(owner_before="", followed=False)
    if isinstance(answer, LostTurn):
        return answer._replace(elapsed_seconds=None if answer.elapsed_seconds is None else 0.0)
    return answer


@dataclass
class ModelTurn:
    """A turn, kept in the model for good."""

    number: int
    run_id: str
    worker_id: str
    message: str
    state: str = "queued"
    cancel: CancelReason | None = None
    history: list[Message] = field(default_factory=list)
    #: By their places, from 1; see `seq_of`.
    events: dict[int, bytes] = field(default_factory=dict)
    #: What another worker would go on with, and what is recorded for it.
    resume: bytes = b""
    records: list[bytes] = field(default_factory=list)
    attempt: int = 1
    #: How many events there were when each further attempt began.
    jumps: list[int] = field(default_factory=list)

    @property
    def last_seq(self) -> int:
        """The place of the last event."""
        return max(self.events, default=0)

    def seq_of(self, place: int) -> int:
        """The seq of the event at a place: each attempt's begin again."""
        begun = [before for before in self.jumps if before < place]
        if place == LOST_SEQ or not begun:
            return place
        return len(begun) * ATTEMPT_SEQS + place - begun[-1]

    def record(self, step: StepWrite, limits: StoreLimits) -> None:
        """Note a step, or forget all where one is missing or too large."""
        if step.number <= len(self.records):
            return
        size = sum(map(len, self.records)) + len(step.record)
        is_whole = step.number == len(self.records) + 1 and size <= limits.record_bytes
        if not is_whole or not (step.resume or self.resume):
            self.resume, self.records = b"", []
            return
        self.resume = self.resume or step.resume
        self.records.append(step.record)

    @property
    def size(self) -> int:
        """Bytes of the journal."""
        return sum(map(len, self.events.values()))

    def append(self, first_seq: int, events: Sequence[bytes]) -> None:
        """Add events, one by one, each only as the next."""
        for seq, event in enumerate(events, first_seq):
            if seq == self.last_seq + 1:
                self.events[seq] = event


@dataclass
class ModelSession:
    """A session: ``turns`` below ``kept_from`` are no longer in the journal."""

    turns: dict[int, ModelTurn] = field(default_factory=dict)
    kept_from: int = 1
    newest: int = 0
    note: bytes = b""
    owner: str = ""
    messages: list[Message] = field(default_factory=list)
    keys: list[tuple[str, int, str]] = field(default_factory=list)
    question: tuple[int, str, bytes | None] | None = None
    #: Whether who asked has the answer.
    taken: bool = False
    #: The turn that waits for its user's answer, and counts among the others no more.
    asking: int | None = None

    @property
    def kept(self) -> list[ModelTurn]:
        """Turns in the journal."""
        return [turn for number, turn in sorted(self.turns.items()) if number >= self.kept_from]

    @property
    def active(self) -> list[ModelTurn]:
        """Turns that run and wait."""
        return [turn for turn in self.kept if turn.state != "ended"]

    def start(self, turn: ModelTurn) -> None:
        """Let a turn run."""
        turn.state = "running"
        turn.history = list(self.messages)
        self.messages.append({"role": "user", "content": turn.message})
        self.owner = turn.worker_id

    def end(self, ended: ModelTurn, messages: Sequence[Message], limits: StoreLimits) -> None:
        """End a turn, and keep within the limits."""
        if ended.state == "running":
            self.messages += messages
            while self._history_size() > limits.history_bytes:
                questions = [i for i, m in enumerate(self.messages) if m["role"] == "user"]
                later = [place for place in questions if place > 0]
                if not later:
                    break
                self.messages = self.messages[later[0] :]
        ended.state = "ended"
        ended.resume, ended.records, ended.attempt = b"", [], 1
        if self.asking == ended.number:
            self.asking = None
        if self.question is not None and self.question[0] == ended.number:
            self.question = None
        while sum(turn.size for turn in self.kept) > limits.journal_bytes:
            oldest = self.kept[0]
            if oldest is ended or oldest.state != "ended":
                break
            self.kept_from = oldest.number + 1

    def waiting_question(self, turn: ModelTurn) -> str:
        """The name of a turn's question whose answer its worker does not have, or ''."""
        asked = self.question
        waits = asked is not None and asked[0] == turn.number and not self.taken
        return asked[1] if asked is not None and waits else ""

    def _history_size(self) -> int:
        return sum(len(encode_json(message)) for message in self.messages)

    def has_gap(self, after: EventId) -> bool:
        """Whether events behind a cursor were dropped; of unknown turns the end is unknown."""
        if after == EventId(0, 0):
            return False
        ends = {
            EventId(
                number,
                self.turns[number].seq_of(self.turns[number].last_seq)
                if number in self.turns
                else LOST_SEQ,
            )
            for number in range(1, self.kept_from)
        }
        return after.turn > self.newest or any(after < end for end in ends)


class Model:
    """The operations, by the contract's words. Sessions are in the order of their creation."""

    def __init__(self, limits: StoreLimits) -> None:
        self.limits = limits
        self.sessions: dict[SessionKey, ModelSession] = {}
        self._deleted: set[tuple[SessionKey, str]] = set()

    def begin_turn(self, request: BeginTurn) -> TurnBegun:
        """See Store; raises Refused with all codes that apply."""
        session = self.sessions.get(request.key, ModelSession())
        for turn in session.kept:
            if turn.run_id == request.run_id:
                return self._begun(turn)
        for name, number, digest in session.keys:
            if name == request.idempotency_key and digest == request.request_digest:
                return TurnBegun("attached", number, [])
        refusals = self._refusals(request, session)
        if refusals:
            raise Refused(refusals)
        self.sessions[request.key] = session
        self._deleted.discard((request.key, mark_of(request.run_id)))
        if request.if_busy == "interrupt":
            self.request_cancel(request.key, None, "interrupted")
        idle = not session.active
        session.newest += 1
        turn = ModelTurn(session.newest, request.run_id, request.worker_id, request.message)
        turn.resume = request.resume
        session.turns[turn.number] = turn
        if request.idempotency_key is not None:
            session.keys.append((request.idempotency_key, turn.number, request.request_digest))
            session.keys = session.keys[-self.limits.max_idempotency_keys :]
        if idle:
            session.start(turn)
        return self._begun(turn)

    @staticmethod
    def _begun(turn: ModelTurn) -> TurnBegun:
        if turn.state == "ended":
            return TurnBegun("attached", turn.number, [])
        if turn.state == "running":
            return TurnBegun("started", turn.number, turn.history)
        return TurnBegun("queued", turn.number, [])

    def _refusals(self, request: BeginTurn, session: ModelSession) -> set[str]:
        tenant = [held for key, held in self.sessions.items() if key.tenant == request.key.tenant]
        waiting = [turn for turn in session.active if turn.state == "queued" and not turn.cancel]
        checks = {
            "idempotency_key_reused": request.idempotency_key in {key[0] for key in session.keys},
            "session_busy": request.if_busy == "reject" and bool(session.active),
            "queue_full": request.if_busy == "enqueue"
            and bool(session.active)
            and len(waiting) >= self.limits.max_queued_turns,
            "too_many_turns": sum(len(held.active) - (held.asking is not None) for held in tenant)
            >= self.limits.max_turns_per_tenant,
            "too_many_sessions": request.key not in self.sessions
            and len(tenant) >= self.limits.max_sessions_per_tenant,
        }
        return {code for code, applies in checks.items() if applies}

    def _find(self, fence: Fence) -> tuple[ModelSession, ModelTurn]:
        session = self.sessions.get(fence.key)
        for turn in session.kept if session else []:
            if session and (turn.number, turn.run_id) == (fence.turn, fence.run_id):
                return session, turn
        raise Fenced

    def _find_or_revive(self, fence: Fence) -> tuple[ModelSession, ModelTurn]:
        session = self.sessions.get(fence.key, ModelSession())
        deleted = (fence.key, mark_of(fence.run_id)) in self._deleted
        if fence.turn > session.newest and not session.active and not deleted:
            if fence.turn > session.newest + 1:
                session.kept_from = fence.turn
            session.newest = fence.turn
            session.turns[fence.turn] = ModelTurn(fence.turn, fence.run_id, "", "", "running")
            self.sessions[fence.key] = session
        return self._find(fence)

    def _find_running(self, fence: Fence) -> tuple[ModelSession, ModelTurn]:
        session, turn = self._find_or_revive(fence)
        if turn.state != "running":
            raise Fenced
        return session, turn

    def claim_turn(self, fence: Fence) -> TurnClaim:
        """See Store."""
        session, turn = self._find(fence)
        if turn.state == "ended":
            raise Fenced
        if turn.state == "queued" and turn is session.active[0] and turn.cancel is None:
            session.start(turn)
        if turn.state == "running":
            return TurnClaim("started", turn.history, turn.cancel)
        return TurnClaim("waiting", [], turn.cancel)

    def append(self, fence: Fence, first_seq: int, events: Sequence[bytes]) -> Appended:
        """See Store."""
        _, turn = self._find_running(fence)
        turn.append(first_seq, events)
        return Appended(turn.last_seq, turn.cancel)

    def record(
        self, fence: Fence, first_seq: int, events: Sequence[bytes], step: StepWrite
    ) -> Appended:
        """See `Store.write`, of one write with a step."""
        _, turn = self._find_running(fence)
        turn.append(first_seq, events)
        if turn.last_seq >= first_seq + len(events) - 1:
            turn.record(step, self.limits)
        return Appended(turn.last_seq, turn.cancel)

    def look(self, key: SessionKey, run_id: str) -> LostTurn | None:
        """See Resumes."""
        session = self.sessions.get(key, ModelSession())
        for turn in session.active:
            may = turn.resume and not turn.cancel and turn.attempt < self.limits.max_attempts
            if turn.run_id == run_id and may:
                return LostTurn(
                    Fence(key, turn.number, run_id),
                    turn.worker_id,
                    turn.resume,
                    turn.attempt,
                    turn.last_seq,
                    0.0 if turn.state == "running" else None,
                    session.waiting_question(turn),
                    list(turn.records),
                )
        return None

    def take(
        self, found: LostTurn, worker_id: str, run_id: str, events: Sequence[bytes]
    ) -> Resumed | None:
        """See Resumes: nothing if anything is other than it was found."""
        if self.look(found.fence.key, found.fence.run_id) != found:
            return None
        session, turn = self._find(found.fence)
        turn.run_id, turn.worker_id = run_id, worker_id
        if turn.state == "queued":
            return Resumed(Fence(found.fence.key, turn.number, run_id), [])
        session.owner = worker_id
        if session.asking == turn.number:
            session.asking = None  # it counts as one that runs until it asks again
        turn.attempt += 1
        turn.jumps.append(turn.last_seq)
        turn.append(turn.last_seq + 1, events)
        return Resumed(Fence(found.fence.key, turn.number, run_id), turn.history)

    def finish(
        self, fence: Fence, first_seq: int, events: Sequence[bytes], messages: Sequence[Message]
    ) -> int:
        """See Store."""
        session, turn = self._find_or_revive(fence)
        if LOST_SEQ in turn.events:
            raise Fenced
        if turn.state != "ended":
            turn.append(first_seq, events)
            if turn.last_seq >= first_seq + len(events) - 1:
                session.end(turn, messages, self.limits)
        return turn.last_seq

    def read(
        self, key: SessionKey, after: EventId, max_events: int, mark: str = ""
    ) -> JournalSlice | None:
        """See Store."""
        session = self.sessions.get(key)
        if session is None:
            return None
        marks = {turn.number: mark_of(turn.run_id) for turn in session.kept}
        is_other = bool(mark) and marks.get(after.turn) != mark
        start = EventId(0, 0) if after.turn > session.newest or is_other else after
        ahead = [turn for turn in session.kept if turn.number >= start.turn]
        live_turn = next((turn.number for turn in ahead if turn.state != "ended"), None)
        rows = [
            (EventId(turn.number, turn.seq_of(place)), event)
            for turn in ahead
            for place, event in sorted(turn.events.items())
            if EventId(turn.number, turn.seq_of(place)) > start
            and turn.number <= (live_turn or turn.number)
        ]
        rows = rows[:max_events]
        told = {place.turn for place, _ in rows} | {session.newest}
        marks = {number: mark for number, mark in marks.items() if number in told}
        has_gap = is_other or session.has_gap(after)
        return JournalSlice(rows, has_gap, live_turn, session.newest, marks)

    def request_cancel(self, key: SessionKey, turn: int | None, reason: CancelReason) -> list[int]:
        """See Store."""
        session = self.sessions.get(key, ModelSession())
        named = [one for one in session.active if turn in (None, one.number)]
        for one in named:
            one.cancel = one.cancel or reason
        return [one.number for one in named]

    def open_input(self, fence: Fence, request_id: str) -> None:
        """See Store."""
        session, turn = self._find_running(fence)
        if session.question is None or session.question[:2] != (turn.number, request_id):
            session.question, session.taken = (turn.number, request_id, None), False
        session.asking = turn.number

    def post_input(self, key: SessionKey, request_id: str, value: bytes) -> None:
        """See Store."""
        session = self.sessions.get(key, ModelSession())
        if session.question is None or session.question[1:] != (request_id, None):
            raise RequestError("no_pending_input", "")
        session.question = (session.question[0], request_id, value)

    def take_input(self, fence: Fence, request_id: str) -> bytes | None:
        """See Store."""
        session, turn = self._find_running(fence)
        if session.question is None:
            session.question, session.taken = (turn.number, request_id, None), False
        asked = session.question[:2] == (turn.number, request_id)
        if asked and session.question[2] is not None:
            session.asking, session.taken = None, True
        return session.question[2] if asked else None

    def close_input(self, fence: Fence, request_id: str) -> None:
        """See Store."""
        session, turn = self._find(fence)
        if session.question is not None and session.question[:2] == (turn.number, request_id):
            session.question = session.asking = None

    def heartbeat(self, worker_id: str, fences: Sequence[Fence]) -> Heartbeat:
        """See Store."""
        beat = Heartbeat({}, [])
        for fence in fences:
            session = self.sessions.get(fence.key, ModelSession())
            turn = session.turns.get(fence.turn)
            if turn is not None and turn in session.active and turn.run_id == fence.run_id:
                turn.worker_id = worker_id
                session.owner = worker_id if turn.state == "running" else session.owner
                if turn.cancel is not None:
                    beat.cancels[fence] = turn.cancel
            elif (
                fence.turn <= session.newest or (fence.key, mark_of(fence.run_id)) in self._deleted
            ):
                beat.fenced.append(fence)
        return beat

    def mark_lost(self, worker_id: str, error: bytes) -> list[Fence]:
        """See Store."""
        lost = []
        for key, session in self.sessions.items():
            for turn in session.active:
                # What another worker may go on with is spared for a lease.
                if turn.worker_id == worker_id and self.look(key, turn.run_id) is None:
                    turn.events[LOST_SEQ] = error
                    session.end(turn, [], self.limits)
                    lost.append(Fence(key, turn.number, turn.run_id))
        return lost

    def note_session(
        self,
        key: SessionKey,
        note: bytes,
        before: bytes | None,
        messages: Sequence[Message] = (),
    ) -> bool:
        """See Store; raises Refused."""
        session = self.sessions.get(key)
        if session is None and before is None:
            mine = [one for one in self.sessions if one.tenant == key.tenant]
            if len(mine) >= self.limits.max_sessions_per_tenant:
                raise Refused({"too_many_sessions"})
            self.sessions[key] = ModelSession(note=note, messages=list(messages))
        elif session is not None and session.note == before:
            session.note = note
        return key in self.sessions and self.sessions[key].note == note

    def delete_session(self, key: SessionKey) -> bool:
        """See Store."""
        session = self.sessions.pop(key, None)
        for turn in session.kept if session else []:
            self._deleted.add((key, mark_of(turn.run_id)))
        return session is not None
