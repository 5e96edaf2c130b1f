"""A question that an agent asks in mid-turn."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from wsgi_app.engine.runtime.callbacks import nothing
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.timers import Timer
from wsgi_app.errors import TurnError
from wsgi_app.events import InputRequest
from wsgi_app.store.base import Fence, Store


class QuestionPending(Exception):
    """Another question waits; ``answer`` is done once it is closed, for any reason."""

    def __init__(self, answer: Future[Any]) -> None:
        super().__init__("another question waits for its answer")
        self.answer = answer


class _Pending(NamedTuple):
    request_id: str
    answer: Future[Any]
    timer: Timer


class Questions:
    """The pending question of a turn; at most one at a time.

    Asked from the agent's threads, answered from the journal's thread, expired from the io loop;
    ``_lock`` guards which question is pending. The thread that takes it resolves it, so that an
    answer, an end and a time limit may come together. ``opened`` and ``closed`` are called when a
    wait begins and ends: the clocks of the turn stand still between them.
    """

    def __init__(  # noqa: PLR0913 - what a question touches, named by its one caller
        self,
        fence: Fence,
        store: Store,
        io: LoopThread,
        *,
        timeout_seconds: float,
        opened: Callable[[], None],
        closed: Callable[[], None],
        unanswered: InputRequest | None = None,
    ) -> None:
        """``unanswered``: the question of an earlier attempt that has no answer yet."""
        self._fence = fence
        self._store = store
        self._io = io
        self._timeout_seconds = timeout_seconds
        self._opened = opened
        self._closed = closed
        self._unanswered = unanswered
        self._lock = threading.Lock()
        self._pending: _Pending | None = None
        self._is_closing = False
        self._withdrawn: list[str] = []

    @property
    def waiting(self) -> bool:
        """Whether an answer is awaited."""
        return self._pending is not None

    def is_pending(self, request_id: str) -> bool:
        """Whether this question is pending."""
        return self.answer_of(request_id) is not None

    def answer_of(self, request_id: str) -> Future[Any] | None:
        """The awaited answer to this question; None if the question is not pending."""
        pending = self._pending
        return pending.answer if pending is not None and pending.request_id == request_id else None

    def ask(
        self, make: Callable[[str], InputRequest], emit: Callable[[InputRequest], None]
    ) -> Future[Any]:
        """Ask; the future brings the answer, or TurnError when none came in time.

        ``make`` makes the event of an id, ``emit`` sends it, once the store knows the question.
        Raises QuestionPending.
        """
        answer: Future[Any] = Future()
        request_id = self._reuse_unanswered(make) or secrets.token_hex(8)
        with self._lock:
            if self._pending is not None:
                raise QuestionPending(self._pending.answer)
            timer = self._io.call_later(self._timeout_seconds, self._expire)
            self._pending = _Pending(request_id, answer, timer)
        self._opened()
        # The agent may give up the wait by means of asyncio.
        answer.add_done_callback(lambda _: self._close_question(answer))
        try:
            self._store.open_input(self._fence, request_id)
            emit(make(request_id))
        except BaseException:
            self.withdraw()
            raise
        return answer

    def _reuse_unanswered(self, make: Callable[[str], InputRequest]) -> str:
        """The id of the same question if an earlier attempt has asked it; '' if not."""
        before, self._unanswered = self._unanswered, None
        return before.request_id if before is not None and make(before.request_id) == before else ""

    def take_answer(self) -> None:
        """Look into the store for the answer; called by the journal's thread.

        Raises Fenced and StoreUnavailable.
        """
        while self._withdrawn:
            self._store.close_input(self._fence, self._withdrawn[-1])
            self._withdrawn.pop()
        pending = self._pending
        if pending is None:
            return
        value = self._store.take_input(self._fence, pending.request_id)
        if value is not None and self._close_question(pending.answer):
            with suppress(InvalidStateError):  # the agent gave up just now
                pending.answer.set_result(msgspec.json.decode(value))

    def close(self) -> None:
        """Give up the wait, and let go of the turn: it has ended."""
        self.withdraw()
        self._opened = self._closed = nothing

    def withdraw(self) -> None:
        """Give up the wait."""
        pending = self._pending
        if pending is not None and self._close_question(pending.answer):
            pending.answer.cancel()

    def _expire(self) -> None:
        pending = self._pending
        if pending is not None and self._close_question(pending.answer):
            self._withdrawn.append(pending.request_id)
            late = TurnError("The question was not answered in time.", code="turn_timeout")
            with suppress(InvalidStateError):  # the agent gave up just now
                pending.answer.set_exception(late)

    def _close_question(self, answer: Future[Any]) -> bool:
        """Close this question; False if it was closed already.

        The clocks continue before the agent wakes: it may ask again at once.
        """
        with self._lock:
            pending = self._pending
            if pending is None or pending.answer is not answer or self._is_closing:
                return False
            self._is_closing = True
        pending.timer.cancel()
        if answer.cancelled():
            self._withdrawn.append(pending.request_id)
        try:
            self._closed()
        finally:
            # Not before: another question would stop the clocks, and this start them again.
            with self._lock:
                self._pending, self._is_closing = None, False
        return True
