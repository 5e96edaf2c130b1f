"""A question that an agent asks in mid-turn."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec
from msgspec import UNSET

from wsgi_app.engine.loop import LoopThread
from wsgi_app.errors import TurnError
from wsgi_app.events import InputRequest
from wsgi_app.store.base import Fence, Store


class Questions:
    """The pending question of a turn; at most one at a time.

    Asked from the agent's threads, answered from the journal's thread, expired from the io loop;
    ``_lock`` guards which question is pending.
    """

    def __init__(self, fence: Fence, store: Store, io: LoopThread, timeout_seconds: float) -> None:
        self._fence = fence
        self._store = store
        self._io = io
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._pending: tuple[str, Future[Any]] | None = None

    @property
    def waiting(self) -> bool:
        """Whether an answer is awaited."""
        return self._pending is not None

    def ask(
        self,
        prompt: str,
        schema: dict[str, Any] | None,
        emit: Callable[[InputRequest], None],
        closed: Callable[[], None],
    ) -> Future[Any]:
        """Ask; the future brings the answer, or TurnError when none came in time.

        ``emit`` sends the event, once the store knows the question. ``closed`` is called when the
        wait is over, whatever ended it.
        """
        request_id = secrets.token_hex(8)
        answer: Future[Any] = Future()
        with self._lock:
            if self._pending is not None:
                raise TurnError("The agent asked a second question before the first was answered.")
            self._pending = (request_id, answer)
        timer = self._io.call_later(self._timeout_seconds, self._expire)

        def close(_: Future[Any]) -> None:
            timer.cancel()
            closed()

        answer.add_done_callback(close)
        try:
            self._store.open_input(self._fence, request_id)
            emit(InputRequest(request_id, prompt, UNSET if schema is None else schema))
        except BaseException:
            self.withdraw()
            raise
        return answer

    def take_answer(self) -> None:
        """Look into the store for the answer; called by the journal's thread."""
        pending = self._pending
        if pending is None:
            return
        value = self._store.take_input(self._fence, pending[0])
        if value is not None and (answer := self._take_pending()):
            answer.set_result(msgspec.json.decode(value))

    def withdraw(self) -> None:
        """Give up the wait: the turn has ended."""
        if answer := self._take_pending():
            answer.cancel()

    def _expire(self) -> None:
        if answer := self._take_pending():
            answer.set_exception(
                TurnError("The question was not answered in time.", code="turn_timeout")
            )

    def _take_pending(self) -> Future[Any] | None:
        # Who takes it resolves it: answer, end and time limit may come together.
        with self._lock:
            pending, self._pending = self._pending, None
        return None if pending is None else pending[1]
