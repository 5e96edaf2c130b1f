"""Workers and their leases in memory."""

from __future__ import annotations

from collections.abc import Sequence

from wsgi_app.store.base import (
    Closing,
    Fence,
    Heartbeat,
    SessionKey,
    WorkerInfo,
    WorkerView,
    no_messages,
)
from wsgi_app.store.base.workers import WorkerOperations
from wsgi_app.store.memory.part import MemoryPart
from wsgi_app.store.memory.session import Push, Session
from wsgi_app.store.memory.turn import Turn
from wsgi_app.store.memory.worker_table import WorkerTable


class MemoryWorkers(MemoryPart, WorkerOperations):
    """See `WorkerOperations`."""

    _workers: WorkerTable

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
            beat = Heartbeat({}, [], self._workers.observed, followed)
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

    def observe_workers(self) -> list[WorkerView]:
        with self._lock:
            return self._workers.observe()

    def lost_workers(self) -> list[str]:
        with self._lock:
            return self._workers.lost()

    def mark_lost(
        self, worker_id: str, error: bytes, close: Closing = no_messages, again: bytes = b""
    ) -> list[Fence]:
        with self._lock:
            self._workers.forget(worker_id)
            lost = [
                (key, session, turn)
                for key, session in self._sessions.items()
                for turn in session.active
                if turn.worker_id == worker_id
            ]
            pushes = self._lose(lost, error, close)
        self._send(pushes)
        return [Fence(key, turn.number, turn.run_id) for key, _, turn in lost]

    def settle_session(
        self, key: SessionKey, error: bytes, close: Closing = no_messages, again: bytes = b""
    ) -> list[Fence]:
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                return []
            turns = [turn for turn in session.active if not self._is_owned(turn)]
            pushes = self._lose([(key, session, turn) for turn in turns], error, close)
        self._send(pushes)
        return [Fence(key, turn.number, turn.run_id) for turn in turns]

    def _lose(
        self, lost: list[tuple[SessionKey, Session, Turn]], error: bytes, close: Closing
    ) -> list[Push]:
        pushes: list[Push] = []
        for key, session, turn in lost:
            session.lose(turn, error, close, self._limits)
            self._sessions.ended(key, session)
            pushes += self._ended(key, session, turn, is_lost=True)
        return pushes

    def _is_owned(self, turn: Turn) -> bool:
        return self._workers.owns(turn.worker_id, turn.run_id, turn.begun_at)
