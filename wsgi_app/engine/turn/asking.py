"""What a turn's agent asks the user: sent, waited for, and given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, NamedTuple

from wsgi_app.engine.runtime.waits import Waits, wait_done
from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.turn.output import check_output
from wsgi_app.engine.turn.question import QuestionPending, Questions
from wsgi_app.errors import Fenced, TurnCancelled
from wsgi_app.events import InputRequest, ToolRequest


class Answered(NamedTuple):
    """A question whose answer came while the agent did not run, see `Rest`."""

    question: InputRequest
    answer: Future[Any]


class Asking:
    """Used by the agent's threads and tasks; ``_lock`` guards how `suspend` stops them."""

    def __init__(
        self,
        questions: Questions,
        log: EventLog,
        waits: Waits,
        hurry: Callable[[], None],
        answered: Answered | None,
    ) -> None:
        self._questions = questions
        self._log = log
        self._waits = waits
        self._hurry = hurry
        self._answered = answered
        self._lock = threading.Lock()
        self._mine: Future[Any] | None = None
        self._is_suspended = False

    def ask(self, make: Callable[[str], InputRequest]) -> Any:
        """See `Turn.ask`."""
        while True:
            try:
                answer = self._ask(make)
            except QuestionPending as pending:
                wait_done(pending.answer)  # which ends by its time limit or the turn's end
            else:
                return self._waits.wait(answer)

    async def ask_async(self, make: Callable[[str], InputRequest]) -> Any:
        """See `Turn.ask_async`."""
        while True:
            try:
                answer = self._ask(make)
            except QuestionPending as pending:
                await asyncio.wait([asyncio.wrap_future(pending.answer)])
            else:
                return await asyncio.wrap_future(answer)

    @property
    def is_suspended(self) -> bool:
        """Whether `suspend` has stopped the agent."""
        with self._lock:
            return self._is_suspended

    def suspend(self) -> bool:
        """Stop the agent in its wait, and keep the question; False if its wait is over.

        It never has the answer then: another run of it will.
        """
        with self._lock:
            if self._mine is None:
                return False
            try:
                self._mine.set_exception(TurnCancelled())
            except InvalidStateError:
                return False
            self._is_suspended = True
        return True

    def _ask(self, make: Callable[[str], InputRequest]) -> Future[Any]:
        answered, self._answered = self._answered, None
        if answered is not None and make(answered.question.request_id) == answered.question:
            return self._own(answered.answer)
        try:
            return self._own(self._questions.ask(make, self._emit))
        except Fenced:
            # The turn has ended just now, or was taken away: the agent is to stop.
            raise TurnCancelled from None

    def _own(self, answer: Future[Any]) -> Future[Any]:
        """The agent's own view of an answer: giving up the wait gives up the question."""
        mine: Future[Any] = Future()
        self._mine = mine

        def give_up(_: Future[Any]) -> None:
            if mine.cancelled():
                answer.cancel()

        def hand_on(_: Future[Any]) -> None:
            with suppress(InvalidStateError):  # the agent gave up just now
                _copy(answer, mine)

        mine.add_done_callback(give_up)
        answer.add_done_callback(hand_on)
        return mine

    def _emit(self, question: InputRequest) -> None:
        output = check_output(question, (InputRequest, ToolRequest))
        if not self._log.append(output.event, output.json):
            raise TurnCancelled
        self._hurry()


def _copy(answer: Future[Any], mine: Future[Any]) -> None:
    if answer.cancelled():
        mine.cancel()
    elif (error := answer.exception()) is not None:
        mine.set_exception(error)
    else:
        mine.set_result(answer.result())
