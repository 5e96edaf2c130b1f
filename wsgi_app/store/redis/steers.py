"""Messages to running turns, in Redis."""

from __future__ import annotations

from wsgi_app.compat.python import zip_strict
from wsgi_app.events import EventId
from wsgi_app.store.base import Fence, SessionKey, StoreLimits
from wsgi_app.store.base.steers import MAX_STEERS, PostedSteer, SteerOperations
from wsgi_app.store.redis.part import RedisPart
from wsgi_app.store.refusals import refusal


class RedisSteers(RedisPart, SteerOperations):
    """See `SteerOperations`."""

    _limits: StoreLimits

    def post_steer(
        self, key: SessionKey, steer_id: str, message: bytes, *, follower: str = ""
    ) -> PostedSteer:
        lease = max(1, round(self._limits.lease_seconds * 1000))
        reply = self._run("post_steer", key, steer_id, message, MAX_STEERS, follower, lease)
        turn, after = reply
        if not turn:
            raise refusal(after.decode())
        return PostedSteer(int(turn), EventId(int(turn), int(after)))

    def has_steer(self, key: SessionKey, turn: int, steer_id: str) -> bool:
        return bool(self._run("has_steer", key, turn, steer_id))

    def withdraw_steer(self, key: SessionKey, turn: int, steer_id: str) -> bool:
        return bool(self._run("withdraw_steer", key, turn, steer_id))

    def take_steers(self, fence: Fence) -> list[tuple[str, bytes]]:
        ids, messages = self._run_fenced("take_steers", fence)
        return [(one.decode(), message) for one, message in zip_strict(ids, messages)]

    def refuse_steer(self, fence: Fence, steer_id: str) -> None:
        self._run_fenced("refuse_steer", fence, steer_id)

    def note_key(
        self, key: SessionKey, turn: int, idempotency_key: str, request_digest: str
    ) -> None:
        most = self._limits.max_idempotency_keys
        self._run("note_key", key, turn, "=" + idempotency_key, request_digest, most)
