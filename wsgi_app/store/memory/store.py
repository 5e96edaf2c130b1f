"""The store of a single process: the same contract, kept in dictionaries."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence

from wsgi_app.errors import Fenced, RequestError
from wsgi_app.events import CancelReason, EventId, encode_json
from wsgi_app.store.base import (
    SECRET_BYTES,
    Appended,
    BeginTurn,
    Closing,
    Fence,
    Heartbeat,
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
    WorkerInfo,
    WorkerView,
    no_messages,
)
from wsgi_app.store.cursor import decode_cursor, encode_cursor
from wsgi_app.store.memory.session import Push, Session, Turn
from wsgi_app.store.memory.starts import MemoryStarts
from wsgi_app.store.memory.table import SessionTable
from wsgi_app.store.memory.workers import WorkerTable
from wsgi_app.store.refusals import refusal


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
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._sessions = SessionTable(self._limits, clock)
        self._workers = WorkerTable(self._limits, clock)
        self._starts = MemoryStarts()
        self._listeners: tuple[tuple[str, Callable[[Signal], None]], ...] = ()

    # -- a turn's life

    def begin_turn(self, request: BeginTurn) -> TurnBegun:
        return self._starts.count(request, self._begin_turn)

    def _begin_turn(self, request: BeginTurn, refused: RequestError | None) -> TurnBegun:
        """Begin it, or with ``refused`` only attach to an earlier one."""
        key = request.key
        pushes: list[Push] = []
        with self._lock:
            session = self._sessions.get(key)
            if session is not None:
                earlier = session.find_earlier(request)
                if earlier is not None:
                    return earlier
            self._sessions.check_limits(request, session, refused)
            if session is None:
                session = self._sessions.create(key)
            elif request.if_busy == "interrupt":
                pushes = self._flag(session, key, None, "interrupted")
            owner = session.owner
            begun = session.begin(request, self._limits, self._clock())
            pushes += session.moved(key, owner)
            self._sessions.pardon(key, request.run_id)
            self._sessions.note_busy(key)
            self._sessions.written(key, session)
        self._send(pushes)
        return begun

    def claim_turn(self, fence: Fence) -> TurnClaim:
        with self._lock:
            session, turn = self._sessions.find(fence)
            if turn.state == "ended":
                raise Fenced
            owner = session.owner
            claim = session.claim(turn)
            if claim.state == "started":
                self._sessions.written(fence.key, session)
            pushes = session.moved(fence.key, owner)
        self._send(pushes)
        return claim

    def append(self, fence: Fence, first_seq: int, events: Sequence[bytes]) -> Appended:
        with self._lock:
            session, turn = self._sessions.find_running(fence)
            stored = len(turn.events)
            turn.append(first_seq, events)
            self._sessions.written(fence.key, session)
            followers = session.followers(self._clock())
            appended = Appended(len(turn.events), turn.cancel, bool(followers))
        if appended.last_seq > stored:
            self._send([(w, Signal("events", fence.key, fence.turn)) for w in followers])
        return appended

    def finish(
        self, fence: Fence, first_seq: int, events: Sequence[bytes], messages: Sequence[Message]
    ) -> int:
        encoded = [encode_json(message) for message in messages]
        with self._lock:
            session, turn = self._sessions.find_or_revive(fence)
            if turn.lost is not None:
                raise Fenced
            if turn.state == "ended":
                return len(turn.events)
            turn.append(first_seq, events)
            last_seq = len(turn.events)
            if last_seq < first_seq + len(events) - 1:
                return last_seq
            session.end(turn, encoded, self._limits)
            self._sessions.ended(fence.key, session)
            pushes = self._ended(fence.key, session, turn)
        self._send(pushes)
        return last_seq

    def follow(self, worker_id: str, key: SessionKey) -> None:
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                return
            session.follow(worker_id, self._clock() + self._limits.lease_seconds)
            running = session.active_turns()[:1]
        self._send([(turn.worker_id, Signal("follow", key, turn.number)) for turn in running])

    def read(
        self, key: SessionKey, after: EventId, max_events: int, mark: str = ""
    ) -> JournalSlice | None:
        with self._lock:
            session = self._sessions.get(key)
            return None if session is None else session.read(after, max_events, mark)

    def request_cancel(self, key: SessionKey, turn: int | None, reason: CancelReason) -> list[int]:
        with self._lock:
            session = self._sessions.get(key)
            pushes = [] if session is None else self._flag(session, key, turn, reason)
        self._send(pushes)
        return [signal.turn for _, signal in pushes]

    # -- questions

    def open_input(self, fence: Fence, request_id: str) -> None:
        with self._lock:
            session, turn = self._sessions.find_running(fence)
            session.ask(turn, request_id)
            self._sessions.written(fence.key, session)

    def post_input(self, key: SessionKey, request_id: str, value: bytes) -> None:
        with self._lock:
            session = self._sessions.get(key)
            question = None if session is None else session.question
            if session is None or question is None or question[1:] != (request_id, None):
                raise refusal("no_pending_input")
            session.question = question._replace(answer=value)
            self._sessions.written(key, session)
            worker_id = session.turns[question.turn].worker_id
        self._send([(worker_id, Signal("input", key, question.turn, request_id))])

    def take_input(self, fence: Fence, request_id: str) -> bytes | None:
        with self._lock:
            session, turn = self._sessions.find_running(fence)
            return session.take_answer(turn, request_id)

    def close_input(self, fence: Fence, request_id: str) -> None:
        with self._lock:
            session, _ = self._sessions.find(fence)
            session.close_question(fence.turn, request_id)

    # -- workers

    def heartbeat(
        self,
        worker_id: str,
        fences: Sequence[Fence],
        following: Sequence[SessionKey] = (),
        info: WorkerInfo | None = None,
    ) -> Heartbeat:
        with self._lock:
            self._workers.note(worker_id, fences, info)
            followed = self._sessions.follow(worker_id, following)
            beat = Heartbeat({}, [], self._workers.watched, followed)
            for fence in fences:
                session = self._sessions.get(fence.key)
                turn = None if session is None else session.adopt(fence, worker_id)
                if session is None or turn is None:
                    if self._sessions.is_foreign(fence):
                        beat.fenced.append(fence)
                    continue
                self._sessions.renew(fence.key, session)
                if turn.cancel is not None:
                    beat.cancels[fence] = turn.cancel
        return beat

    def leave(self, worker_id: str) -> None:
        with self._lock:
            self._workers.forget(worker_id)

    def workers(self) -> list[WorkerView]:
        with self._lock:
            return self._workers.living()

    def watch_workers(self) -> list[WorkerView]:
        with self._lock:
            return self._workers.watch()

    def lost_workers(self) -> list[str]:
        with self._lock:
            return self._workers.lost()

    def mark_lost(self, worker_id: str, error: bytes, close: Closing = no_messages) -> list[Fence]:
        with self._lock:
            self._workers.forget(worker_id)
            lost = [
                (key, session, turn)
                for key, session in self._sessions.items()
                for turn in session.active_turns()
                if turn.worker_id == worker_id
            ]
            pushes = self._lose(lost, error, close)
        self._send(pushes)
        return [Fence(key, turn.number, turn.run_id) for key, _, turn in lost]

    def settle_session(
        self, key: SessionKey, error: bytes, close: Closing = no_messages
    ) -> list[Fence]:
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                return []
            turns = [turn for turn in session.active_turns() if not self._is_owned(turn)]
            pushes = self._lose([(key, session, turn) for turn in turns], error, close)
        self._send(pushes)
        return [Fence(key, turn.number, turn.run_id) for turn in turns]

    # -- sessions

    def describe_session(self, key: SessionKey, *, messages: bool = True) -> SessionView | None:
        with self._lock:
            session = self._sessions.get(key)
            return None if session is None else session.view(key, with_messages=messages)

    def list_sessions(self, tenant: str, limit: int, cursor: str | None) -> SessionPage:
        before = None if cursor is None else decode_cursor(cursor)
        with self._lock:
            mine = [(key, one) for key, one in self._sessions.items() if key.tenant == tenant]
            places = {(one.created_at, key.session_id): (key, one) for key, one in mine}
            found = sorted((p for p in places if before is None or p < before), reverse=True)
            shown = [places[place] for place in found[:limit]]
            views = [session.view(key, with_messages=False) for key, session in shown]
        return SessionPage(views, encode_cursor(*found[limit - 1]) if len(found) > limit else None)

    def recent_sessions(self, tenants: Sequence[str], seconds: float) -> list[SessionKey]:
        with self._lock:
            return self._sessions.recent(tenants, seconds)

    def delete_session(self, key: SessionKey, newest_turn: int | None = None) -> bool:
        with self._lock:
            session = self._sessions.get(key)
            if session is None or newest_turn not in (None, session.newest_turn):
                return False
            pushes = self._flag(session, key, None, "deleted")
            pushes.append((session.owner, Signal("moved", key, session.newest_turn)))
            ended = Signal("ended", key, session.newest_turn)
            pushes += [(worker, ended) for worker in session.followers(self._clock())]
            self._sessions.delete(key, session)
        self._send(pushes)
        return True

    # -- the process

    def listen(
        self,
        listener: Callable[[Signal], None],
        worker_id: str = "",
        resync: Callable[[], None] | None = None,  # noqa: ARG002 - a call cannot be lost
    ) -> None:
        with self._lock:
            self._listeners = (*self._listeners, (worker_id, listener))

    def secret(self) -> bytes:
        return self._secret

    def ping(self) -> None:
        pass

    def close(self) -> None:
        with self._lock:
            self._listeners = ()

    # -- inside; the caller holds the lock, but for _send

    @staticmethod
    def _flag(
        session: Session, key: SessionKey, number: int | None, reason: CancelReason
    ) -> list[Push]:
        pushes = []
        for turn in session.active_turns():
            if number is None or turn.number == number:
                turn.cancel = turn.cancel or reason
                pushes.append((turn.worker_id, Signal("cancel", key, turn.number, turn.cancel)))
        return pushes

    def _lose(
        self, lost: list[tuple[SessionKey, Session, Turn]], error: bytes, close: Closing
    ) -> list[Push]:
        pushes: list[Push] = []
        for key, session, turn in lost:
            session.lose(turn, error, close, self._limits)
            self._sessions.written(key, session)
            pushes += self._ended(key, session, turn)
        return pushes

    def _ended(self, key: SessionKey, session: Session, turn: Turn) -> list[Push]:
        waiting = [other.worker_id for other in session.active_turns()]
        workers = {turn.worker_id, *waiting, *session.followers(self._clock())}
        return [(worker_id, Signal("ended", key, turn.number)) for worker_id in workers]

    def _is_owned(self, turn: Turn) -> bool:
        return self._workers.owns(turn.worker_id, turn.run_id, turn.begun_at)

    def _send(self, pushes: Sequence[Push]) -> None:
        for listening, listener in self._listeners:
            if listening:
                signals = [signal for worker_id, signal in pushes if worker_id == listening]
            else:
                signals = list(dict.fromkeys(signal for _, signal in pushes))
            for signal in signals:
                listener(signal)
