"""The store of a single process: the same contract, kept in dictionaries."""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence

from wsgi_app.errors import Fenced, RequestError
from wsgi_app.events import CancelReason, EventId
from wsgi_app.store.base import (
    Appended,
    BeginTurn,
    Fence,
    JournalSlice,
    Message,
    SessionKey,
    SessionPage,
    SessionView,
    Signal,
    Store,
    StoreLimits,
    TurnBegun,
    TurnClaim,
)
from wsgi_app.store.memory_session import Session, Turn


class MemoryStore(Store):
    """Sessions in this process's memory, gone when it ends.

    Touched by every thread of the worker; ``_lock`` guards all state, is never held while a
    listener runs, and every operation under it is short.
    """

    shared = False

    def __init__(
        self, limits: StoreLimits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._limits = limits or StoreLimits()
        self._clock = clock
        self._lock = threading.Lock()
        # In the order of their last write, so that expired ones are found at the front.
        self._sessions: OrderedDict[SessionKey, Session] = OrderedDict()
        self._deleted_runs: OrderedDict[str, float] = OrderedDict()
        self._session_counts: Counter[str] = Counter()
        # Sessions in which a turn runs or waits, per tenant; pruned when counted.
        self._busy: defaultdict[str, set[SessionKey]] = defaultdict(set)
        self._listeners: tuple[Callable[[Signal], None], ...] = ()
        self._last_created_at = 0.0

    # -- a turn's life

    def begin_turn(self, request: BeginTurn) -> TurnBegun:
        signals: list[Signal] = []
        with self._lock:
            now = self._now()
            session = self._sessions.get(request.key)
            if session is not None:
                earlier = session.find_earlier(request)
                if earlier is not None:
                    return earlier
            self._check_limits(request, session)
            if session is None:
                session = self._create_session(request.key, now)
            elif request.if_busy == "interrupt":
                signals = self._flag(session, request.key, None, "interrupted")
            begun = session.begin(request, self._limits, now)
            self._busy[request.key.tenant].add(request.key)
            self._touch(request.key, session, now)
        self._send(signals)
        return begun

    def claim_turn(self, fence: Fence) -> TurnClaim:
        with self._lock:
            session, turn = self._find(fence)
            if turn.state == "ended":
                raise Fenced
            if turn.state == "queued" and turn.cancel is None and session.is_next(turn):
                history = list(session.messages)
                session.start(turn)
                return TurnClaim("started", history, None)
            return TurnClaim("waiting", [], turn.cancel)

    def append(self, fence: Fence, first_seq: int, events: Sequence[bytes]) -> Appended:
        with self._lock:
            session, turn = self._find_or_revive(fence)
            if turn.state != "running":
                raise Fenced
            turn.append(first_seq, events)
            self._touch(fence.key, session, self._now())
            return Appended(len(turn.events), turn.cancel)

    def finish(
        self, fence: Fence, first_seq: int, events: Sequence[bytes], messages: Sequence[Message]
    ) -> int:
        with self._lock:
            session, turn = self._find_or_revive(fence)
            if turn.state == "ended":
                if turn.lost:
                    raise Fenced
                return len(turn.events)
            turn.append(first_seq, events)
            if len(turn.events) < first_seq + len(events) - 1:
                return len(turn.events)
            turn.end()
            session.close_question(fence.turn)
            session.add_messages(messages, self._limits.history_bytes)
            session.trim_journal(self._limits.journal_bytes)
            self._touch(fence.key, session, self._now())
            last_seq = len(turn.events)
        self._send([Signal("ended", fence.key, fence.turn)])
        return last_seq

    def read(self, key: SessionKey, after: EventId, max_events: int) -> JournalSlice | None:
        with self._lock:
            session = self._live_session(key)
            return None if session is None else session.read(after, max_events)

    def request_cancel(
        self, key: SessionKey, turn: int | None, reason: CancelReason
    ) -> list[int]:
        with self._lock:
            session = self._live_session(key)
            if session is None:
                return []
            signals = self._flag(session, key, turn, reason)
        self._send(signals)
        return [signal.turn for signal in signals]

    # -- questions

    def open_input(self, fence: Fence, request_id: str) -> None:
        with self._lock:
            session, turn = self._find(fence)
            if turn.state != "running":
                raise Fenced
            session.question = (fence.turn, request_id, None)

    def post_input(self, key: SessionKey, request_id: str, value: bytes) -> None:
        with self._lock:
            session = self._live_session(key)
            question = None if session is None else session.question
            if session is None or question is None or question[1:] != (request_id, None):
                raise RequestError("no_pending_input", "No question of this id waits for an answer.")
            session.question = (question[0], request_id, value)
        self._send([Signal("input", key, question[0], request_id)])

    def take_input(self, fence: Fence, request_id: str) -> bytes | None:
        with self._lock:
            session, _ = self._find(fence)
            if session.question is None or session.question[:2] != (fence.turn, request_id):
                return None
            value = session.question[2]
            if value is not None:
                session.question = None
            return value

    def close_input(self, fence: Fence, request_id: str) -> None:
        with self._lock:
            session, _ = self._find(fence)
            if session.question is not None and session.question[1] == request_id:
                session.close_question(fence.turn)

    # -- workers

    def heartbeat(self, worker_id: str, fences: Sequence[Fence]) -> dict[Fence, CancelReason]:  # noqa: ARG002 - a lease of this process on itself has no end
        flags: dict[Fence, CancelReason] = {}
        with self._lock:
            for fence in fences:
                session = self._live_session(fence.key)
                turn = None if session is None else session.turns.get(fence.turn)
                if turn is not None and turn.run_id == fence.run_id and turn.cancel is not None:
                    flags[fence] = turn.cancel
                if session is not None and turn is not None:
                    self._touch(fence.key, session, self._now())
        return flags

    def mark_lost(self, worker_id: str, error: bytes) -> list[Fence]:
        lost: list[Fence] = []
        with self._lock:
            for key, session in self._sessions.items():
                for turn in session.active_turns():
                    if turn.worker_id == worker_id:
                        turn.lose(error)
                        lost.append(Fence(key, turn.number, turn.run_id))
        self._send([Signal("ended", fence.key, fence.turn) for fence in lost])
        return lost

    # -- sessions

    def describe_session(self, key: SessionKey) -> SessionView | None:
        with self._lock:
            session = self._live_session(key)
            return None if session is None else session.view(key, with_messages=True)

    def list_sessions(self, tenant: str, limit: int, cursor: str | None) -> SessionPage:
        before = None if cursor is None else _decode_cursor(cursor)
        with self._lock:
            self._now()
            found = [
                (session.created_at, key.session_id, session.view(key, with_messages=False))
                for key, session in self._sessions.items()
                if key.tenant == tenant
                and (before is None or (session.created_at, key.session_id) < before)
            ]
        found.sort(key=lambda row: row[:2], reverse=True)
        page = found[:limit]
        more = len(found) > limit
        return SessionPage(
            [view for _, _, view in page], _encode_cursor(*page[-1][:2]) if more else None
        )

    def delete_session(self, key: SessionKey) -> bool:
        with self._lock:
            session = self._live_session(key)
            if session is None:
                return False
            signals = self._flag(session, key, None, "deleted")
            now = self._now()
            for turn in session.active_turns():
                self._deleted_runs[turn.run_id] = now + self._limits.session_ttl_seconds
            self._forget(key)
        self._send(signals)
        return True

    # -- the process

    def listen(self, listener: Callable[[Signal], None]) -> None:
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def ping(self) -> None:
        """Memory always answers."""

    def close(self) -> None:
        with self._lock:
            self._listeners = ()

    # -- inside; the caller holds the lock, but for _send

    def _now(self) -> float:
        now = self._clock()
        while self._sessions:
            key = next(iter(self._sessions))
            session = self._sessions[key]
            if session.updated_at + self._limits.session_ttl_seconds > now:
                break
            self._forget(key)
        while self._deleted_runs and next(iter(self._deleted_runs.values())) <= now:
            self._deleted_runs.popitem(last=False)
        return now

    def _live_session(self, key: SessionKey) -> Session | None:
        self._now()
        return self._sessions.get(key)

    def _find(self, fence: Fence) -> tuple[Session, Turn]:
        session = self._live_session(fence.key)
        turn = None if session is None else session.turns.get(fence.turn)
        if session is None or turn is None or turn.run_id != fence.run_id:
            raise Fenced
        return session, turn

    def _find_or_revive(self, fence: Fence) -> tuple[Session, Turn]:
        now = self._now()
        if fence.run_id in self._deleted_runs:
            raise Fenced
        session = self._sessions.get(fence.key)
        if session is None:
            session = self._create_session(fence.key, now)
        if session.newest_turn < fence.turn:
            session.revive(fence)
        return self._find(fence)

    def _create_session(self, key: SessionKey, now: float) -> Session:
        # Strictly growing, so that a list by creation has one order.
        self._last_created_at = max(now, self._last_created_at + 1e-6)
        session = self._sessions[key] = Session(self._last_created_at)
        self._session_counts[key.tenant] += 1
        return session

    def _forget(self, key: SessionKey) -> None:
        del self._sessions[key]
        self._session_counts[key.tenant] -= 1
        if not self._session_counts[key.tenant]:
            del self._session_counts[key.tenant]

    def _touch(self, key: SessionKey, session: Session, now: float) -> None:
        session.updated_at = max(now, session.created_at)
        self._sessions.move_to_end(key)

    def _check_limits(self, request: BeginTurn, session: Session | None) -> None:
        if session is not None:
            session.check_busy(request, self._limits)
        tenant = request.key.tenant
        if session is None and self._session_counts[tenant] >= self._limits.max_sessions_per_tenant:
            raise RequestError("too_many_sessions", "This tenant has too many sessions.")
        if self._count_active_turns(tenant) >= self._limits.max_turns_per_tenant:
            raise RequestError("too_many_turns", "This tenant has too many turns at once.")

    def _count_active_turns(self, tenant: str) -> int:
        counts = {
            key: len(self._sessions[key].active_turns()) if key in self._sessions else 0
            for key in self._busy[tenant]
        }
        self._busy[tenant] = {key for key, count in counts.items() if count}
        if not self._busy[tenant]:
            del self._busy[tenant]
        return sum(counts.values())

    @staticmethod
    def _flag(
        session: Session, key: SessionKey, number: int | None, reason: CancelReason
    ) -> list[Signal]:
        signals = []
        for turn in session.active_turns():
            if number is None or turn.number == number:
                turn.cancel = turn.cancel or reason
                signals.append(Signal("cancel", key, turn.number, turn.cancel))
        return signals

    def _send(self, signals: Sequence[Signal]) -> None:
        for signal in signals:
            for listener in self._listeners:
                listener(signal)


def _encode_cursor(created_at: float, session_id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_at!r} {session_id}".encode()).decode()


def _decode_cursor(cursor: str) -> tuple[float, str]:
    created_at, _, session_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
    return float(created_at), session_id


