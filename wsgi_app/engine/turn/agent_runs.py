"""The runs of a turn's agent: one, and another one behind each rest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from wsgi_app.engine.runtime.callbacks import nothing
from wsgi_app.engine.turn.agent_calls import AgentCalls
from wsgi_app.engine.turn.agent_run import AgentRun, refuse, yes
from wsgi_app.engine.turn.asking import Answered
from wsgi_app.engine.turn.clock import TurnClock
from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.turn.failures import AGENT_ERROR, OUTPUT_TOO_LARGE
from wsgi_app.engine.turn.question import Questions
from wsgi_app.engine.turn.report import TurnReport
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.rest import Rest
from wsgi_app.engine.turn.services import Services
from wsgi_app.engine.turn.steering import Steering
from wsgi_app.engine.turn.turn_steps import Progress
from wsgi_app.events import Terminal
from wsgi_app.store.base import Fence, Message

log = logging.getLogger("wsgi_app")


class TurnParts(NamedTuple):
    """What all runs of a turn's agent have in common."""

    fence: Fence
    request: TurnRequest
    services: Services
    log: EventLog
    clock: TurnClock
    questions: Questions
    steering: Steering
    report: TurnReport


class AgentRuns:
    """The newest run of a turn's agent; used by the threads that use its `TurnRun`."""

    def __init__(
        self,
        parts: TurnParts,
        progress: Progress | None,
        *,
        wait_in_queue: Callable[[], list[Message] | None],
        end: Callable[[Terminal | None], bool],
        has_ended: Callable[[], bool],
    ) -> None:
        self.parts = parts
        self._wait_in_queue = wait_in_queue
        self._end = end
        self._has_ended = has_ended
        self._rest: Rest | None = None  # made by the first question
        #: What the turn began with.
        self.history: list[Message] = []
        self.calls, self.agent = self._make(progress, None)

    @property
    def rests(self) -> bool:
        """Whether the agent was stopped in a long wait."""
        return self._rest is not None and self._rest.lasts

    def wait(self) -> None:
        """The agent has asked a question."""
        if self._rest is None:
            parts = self.parts
            self._rest = Rest(parts.services, parts.fence, parts.questions, parts.log, self)
        self._rest.wait()

    def wait_no_more(self) -> None:
        """Its question is closed."""
        if self._rest is not None:
            self._rest.wait_no_more()

    def end(self) -> None:
        """Free all that waits, and let go of the turn, which has ended."""
        self.calls.end()
        self._end, self._has_ended, self._wait_in_queue = refuse, yes, nothing
        self._rest = None

    def start_again(self, progress: Progress, answered: Answered) -> None:
        """Have the agent run once more: what it has asked and left has its answer."""
        calls, agent = self.calls, self.agent
        self.calls, self.agent = self._make(progress, answered)
        self.calls.carry(calls)
        if self._has_ended():  # just now, and of the run before
            self.calls.seal()
            self.calls.end()
            return
        try:
            self.agent.start_again(self.history, agent.thread)
        except RuntimeError:
            log.exception("a turn's agent cannot be started again")
            self._end(AGENT_ERROR)

    def _make(
        self, progress: Progress | None, answered: Answered | None
    ) -> tuple[AgentCalls, AgentRun]:
        fence, request, services, *_, report = self.parts
        calls = AgentCalls(
            fence,
            request,
            services,
            log=self.parts.log,
            clock=self.parts.clock,
            questions=self.parts.questions,
            steering=self.parts.steering,
            count_tool=report.count_tool,
            inside_tool=report.inside_tool,
            progress=progress,
            too_large=lambda: self._end(OUTPUT_TOO_LARGE),
            answered=answered,
        )
        agent = AgentRun(
            fence,
            request,
            services,
            calls=calls,
            report=report,
            wait_in_queue=self._claim,
            end=lambda terminal: not calls.is_suspended and self._end(terminal),
            has_ended=lambda: self._has_ended() or calls.is_suspended,
        )
        return calls, agent

    def _claim(self) -> list[Message] | None:
        history = self._wait_in_queue()
        self.history = history or []
        return history
