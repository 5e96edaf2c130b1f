"""Questions in Redis."""

from __future__ import annotations

import secrets
from typing import cast

from wsgi_app.store.base import Fence, SessionKey
from wsgi_app.store.base.questions import QuestionOperations
from wsgi_app.store.redis.part import RedisPart
from wsgi_app.store.refusals import refusal


class RedisQuestions(RedisPart, QuestionOperations):
    """See `QuestionOperations`."""

    def open_input(self, fence: Fence, request_id: str) -> None:
        revived = self._run_fenced("open_input", fence, request_id)
        self._edge.run_many([*self._enrol(fence, revived), self._calls.move_turn(fence, asks=True)])

    def post_input(self, key: SessionKey, request_id: str, value: bytes) -> None:
        if not self._run("post_input", key, request_id, value, secrets.token_hex(8)):
            raise refusal("no_pending_input")

    def take_input(self, fence: Fence, request_id: str) -> bytes | None:
        revived, answer = (*self._run_fenced("take_input", fence, request_id), None)[:2]
        moved = [] if answer is None else [self._calls.move_turn(fence, asks=False)]
        self._edge.run_many([*self._enrol(fence, revived), *moved])
        return cast("bytes | None", answer)

    def close_input(self, fence: Fence, request_id: str) -> None:
        if self._run_fenced("close_input", fence, request_id):
            self._edge.run_many([self._calls.move_turn(fence, asks=False)])
