"""Questions in memory."""

from __future__ import annotations

from wsgi_app.store.base import (
    Fence,
    SessionKey,
    Signal,
)
from wsgi_app.store.base.questions import QuestionOperations
from wsgi_app.store.memory.part import MemoryPart
from wsgi_app.store.refusals import refusal


class MemoryQuestions(MemoryPart, QuestionOperations):
    """See `QuestionOperations`."""

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
