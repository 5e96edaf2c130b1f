"""Messages to running turns, in memory."""

from __future__ import annotations

from typing import Optional

from wsgi_app.errors import Fenced
from wsgi_app.events import EventId
from wsgi_app.store.base import MAX_STEERS, Fence, PostedSteer, SessionKey, Signal
from wsgi_app.store.base.steers import SteerOperations
from wsgi_app.store.memory.part import MemoryPart
from wsgi_app.store.memory.session import Push
from wsgi_app.store.memory.turn import Steer, Turn
from wsgi_app.store.refusals import refusal


class MemorySteers(MemoryPart, SteerOperations):
    """See `SteerOperations`."""

    def post_steer(
        self, key: SessionKey, steer_id: str, message: bytes, *, follower: str = ""
    ) -> PostedSteer:
        with self._lock:
            session = self._sessions.get(key)
            active = () if session is None else session.active
            turn = next((turn for turn in active if turn.state == "running"), None)
            if session is None or turn is None or turn.cancel is not None:
                raise refusal("not_steerable")
            if steer_id not in turn.steers and len(turn.steers) >= MAX_STEERS:
                raise refusal("too_many_steers")
            turn.steers.setdefault(steer_id, Steer("waiting", message))
            self._sessions.written(key, session)
            if follower:
                session.follow(follower, self._clock() + self._limits.lease_seconds)
            posted = PostedSteer(turn.number, EventId(turn.number, len(turn.events)))
        self._send([_steer_push(key, turn)])
        return posted

    def has_steer(self, key: SessionKey, turn: int, steer_id: str) -> bool:
        pushes: list[Push] = []
        with self._lock:
            found = self._find(key, turn)
            steer = None if found is None else found.steers.get(steer_id)
            if found is not None and steer is not None and steer.state == "waiting":
                pushes.append(_steer_push(key, found))
        self._send(pushes)
        return steer is not None

    def withdraw_steer(self, key: SessionKey, turn: int, steer_id: str) -> bool:
        with self._lock:
            found = self._find(key, turn)
            steer = None if found is None else found.steers.get(steer_id)
            if found is not None and steer is not None and steer.state == "waiting":
                del found.steers[steer_id]
            return steer is None or steer.state == "waiting"

    def take_steers(self, fence: Fence) -> list[tuple[str, bytes]]:
        with self._lock:
            _, turn = self._sessions.find(fence)
            if turn.state != "running":
                raise Fenced
            for steer_id, steer in turn.steers.items():
                turn.steers[steer_id] = steer._replace(state="taken")
            return [(steer_id, steer.message) for steer_id, steer in turn.steers.items()]

    def refuse_steer(self, fence: Fence, steer_id: str) -> None:
        with self._lock:
            session, turn = self._sessions.find(fence)
            turn.steers.pop(steer_id, None)
            followers = session.followers(self._clock())
        self._send([(worker, Signal("events", fence.key, fence.turn)) for worker in followers])

    def note_key(
        self, key: SessionKey, turn: int, idempotency_key: str, request_digest: str
    ) -> None:
        with self._lock:
            session = self._sessions.get(key)
            if session is not None and turn in session.turns:
                session.note_key(idempotency_key, turn, request_digest, self._limits)

    def _find(self, key: SessionKey, turn: int) -> Optional[Turn]:
        session = self._sessions.get(key)
        return None if session is None else session.turns.get(turn)


def _steer_push(key: SessionKey, turn: Turn) -> Push:
    return turn.worker_id, Signal("steer", key, turn.number)
