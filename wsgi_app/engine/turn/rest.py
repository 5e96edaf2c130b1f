"""A turn whose agent waits long for an answer rests: it has no thread until the answer comes."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET

from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.runtime.timers import Timer
from wsgi_app.engine.turn.agent_calls import AgentCalls
from wsgi_app.engine.turn.asking import Answered
from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.turn.question import Questions
from wsgi_app.engine.turn.services import Services
from wsgi_app.engine.turn.steps import decode_records, last_that_counts, unanswered_calls
from wsgi_app.engine.turn.turn_steps import Progress
from wsgi_app.errors import StoreUnavailable
from wsgi_app.events import InputRequest, NumberedEvent, Steered, ToolRequest
from wsgi_app.store.base import Fence

log = logging.getLogger("wsgi_app")

#: How long an agent waits for an answer before it is stopped.
REST_AFTER_SECONDS: Final = 3.0


class Runs(Protocol):
    """The runs of a turn's agent."""

    @property
    def calls(self) -> AgentCalls:
        """Those of the newest run."""

    def start_again(self, progress: Progress, answered: Answered) -> None:
        """Have the agent run once more."""


class Rest:
    """Decides when a turn's agent is stopped in its wait, and what it continues with.

    Only a turn that another worker could continue as well rests: from its records, saying nothing
    again. The turn stays this worker's, with its readers, limits and question. Used by the threads
    that ask and answer, one after the other, and by a thread of its own meanwhile.
    """

    def __init__(
        self,
        services: Services,
        fence: Fence,
        questions: Questions,
        events: EventLog,
        runs: Runs,
    ) -> None:
        self._services = services
        self._fence = fence
        self._questions = questions
        self._log = events
        self._runs = runs
        self._timer: Timer | None = None
        #: Whether the agent is stopped, and no other run of it has begun.
        self.lasts = False

    def wait(self) -> None:
        """The agent asks: stop it if its question waits long."""
        if self._services.resumes:
            self._timer = self._services.io.call_later(REST_AFTER_SECONDS, self._begin_soon)

    def wait_no_more(self) -> None:
        """The question is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin_soon(self) -> None:
        try:
            start_thread(self._begin, "rest")  # it asks the store
        except RuntimeError:
            log.warning("there is no thread in which to stop an agent that waits")

    def _begin(self) -> None:
        events = self._log.read(0, self._log.last_seq)
        asked = (one.event for one in reversed(events) if isinstance(one.event, InputRequest))
        question = next(asked, None)
        calls = self._runs.calls
        if question is None or not (calls.steps.stands_still or _stands_still(events, question)):
            return
        answer = self._questions.answer_of(question.request_id)
        if answer is None:
            return
        try:
            progress = self._progress(calls, events, question)
        except StoreUnavailable:
            return  # the agent waits as it is
        if progress is not None and calls.suspend():
            self.lasts = True
            answer.add_done_callback(partial(self._end, progress, question))

    def _progress(
        self, calls: AgentCalls, events: list[NumberedEvent], question: InputRequest
    ) -> Progress | None:
        """What another run of the agent begins with; None if it would say something again."""
        resumes = self._services.store.resumes
        found = resumes.look(self._fence.key, self._fence.run_id) if resumes is not None else None
        if found is None or found.question != question.request_id:
            return None
        try:
            records = decode_records(found.records)
        except msgspec.MsgspecError:
            return None
        if len(records) != calls.steps.count or not calls.steps.can_be_resumed:
            return None
        if not records or records[-1].events is None:
            return None  # it would begin from its start
        after = last_that_counts(self._fence.turn, records, events)
        behind = [one.event for one in events if one.id.seq > after.seq]
        if any(one != question and not isinstance(one, Steered) for one in behind):
            return None
        steps = calls.steps
        return Progress(steps.attempt + 1, events, records, 0.0, question, steps.rests + 1)

    def _end(self, progress: Progress, question: InputRequest, answer: Future[Any]) -> None:
        self.lasts = False
        if not answer.cancelled():  # as the turn's end does
            events = self._log.read(0, self._log.last_seq)
            self._runs.start_again(progress._replace(events=events), Answered(question, answer))


def _stands_still(events: list[NumberedEvent], question: InputRequest) -> bool:
    """Whether nothing but calls runs, and none beside the one that asks.

    Other questions may be asked in the middle of a site's own code.
    """
    running = unanswered_calls(one.event for one in events)
    if isinstance(question, ToolRequest):
        return not running
    schema = question.schema
    return schema is not UNSET and list(running) == [schema.get("x-call-id")]
