"""The run of one turn's agent: in a thread, or on the io loop as long as it only waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, Optional, Protocol

from wsgi_app.engine.runtime.callbacks import nothing
from wsgi_app.engine.runtime.switch_interval import switch_interval
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.turn.agent_calls import AgentCalls
from wsgi_app.engine.turn.failures import AGENT_ERROR, as_error
from wsgi_app.engine.turn.history import for_agent
from wsgi_app.engine.turn.output import send_answer
from wsgi_app.engine.turn.report import TurnReport
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.services import Services
from wsgi_app.engine.turn.turn import Agent, Turn, enter_turn
from wsgi_app.errors import TurnError
from wsgi_app.events import Status, Terminal
from wsgi_app.store.base import Fence, Message

log = logging.getLogger("wsgi_app")

#: How often a turn that continues looks whether it has ended meanwhile.
WAITS_SECONDS: Final = 1.0
#: What continues in a thread behind the first step; None where that was all.
Rest = Optional[Callable[[Turn], Any]]


class BeginsOnLoop(Protocol):
    """An agent whose first step is host code that only waits, as for a model.

    Such a step needs no thread, which a turn without tools then never has: a start costs a fifth
    less, and a stream half of the memory (measured, `make bench WORK=turns` and `WORK=memory`).
    """

    def begin_on_loop(self, turn: Turn) -> Coroutine[Any, Any, Rest] | None:
        """Take the first step on the io loop; returns None, and does nothing, where it cannot."""
        ...


class AgentRun:
    """Calls the agent and decides with its outcome how the turn ends.

    `start` is called once, by a request's thread; the rest happens in the turn's thread or on the
    io loop, one after the other.
    """

    def __init__(  # noqa: PLR0913 - what an agent's run touches, named by its one caller
        self,
        fence: Fence,
        request: TurnRequest,
        services: Services,
        *,
        calls: AgentCalls,
        report: TurnReport,
        wait_in_queue: Callable[[], list[Message] | None],
        end: Callable[[Terminal | None], bool],
        has_ended: Callable[[], bool],
    ) -> None:
        self._fence = fence
        self._request = request
        self._services = services
        self._calls = calls
        self._report = report
        self._wait_in_queue = wait_in_queue
        self._end = end
        self._has_ended = has_ended
        #: Whether the turn was begun instead of the session's newest.
        self._replaces = False
        #: The turn's thread, while or after it has one.
        self.thread: threading.Thread | None = None

    def start(self, history: list[Message] | None) -> None:
        """Begin; without a history the turn first waits in its session's queue.

        Raises RuntimeError once no thread can be started.
        """
        starts_at_once = history is not None or self._request.adopted
        self._replaces = self._request.regenerates and starts_at_once
        agent = self._request.agent or self._services.session_agents.shared
        begin: Any = getattr(agent, "begin_on_loop", None)
        if begin is None or history is None or not self._begin_on_loop(begin, history):
            self._start_thread(partial(self._main, history, self._report.traced))

    def start_again(self, history: list[Message], before: threading.Thread | None) -> None:
        """Run the agent once more, in a thread, once the thread of its run before has ended.

        Raises RuntimeError once no thread can be started.
        """

        def run() -> None:
            while before is not None and before.is_alive() and not self._has_ended():
                before.join(WAITS_SECONDS)
            self._main(history, self._report.inside_turn)

        self._start_thread(run)

    def goes_on(self) -> bool:
        """Whether the agent's code still runs in the turn's thread."""
        return self.thread is not None and self.thread.is_alive()

    # -- on the io loop

    def _begin_on_loop(
        self, begin: Callable[[Turn], Coroutine[Any, Any, Rest] | None], history: list[Message]
    ) -> bool:
        turn = self._make_turn(history)
        first_step = begin(turn)
        if first_step is None:
            return False
        future = self._request.context.copy().run(self._submit, turn, first_step)
        future.add_done_callback(partial(self._first_step_ended, turn))
        return True

    def _submit(self, turn: Turn, first_step: Coroutine[Any, Any, Rest]) -> Future[Rest]:
        enter_turn(turn)
        with self._report.traced():
            return self._calls.start_on_io_loop(first_step)

    def _first_step_ended(self, turn: Turn, future: Future[Rest]) -> None:
        try:
            # Cancelled with the turn, which has its end then, or with the loop.
            error = None if future.cancelled() else future.exception()
            if error is not None:
                self._fail(error)
            elif not future.cancelled():
                self._go_on(turn, future.result())
        finally:
            if self.thread is None:
                self._calls.agent_returned()
                self._finish()

    def _go_on(self, turn: Turn, rest: Rest) -> None:
        if rest is None:
            self._end(None)
        else:
            self._start_thread(partial(self._run_rest, turn, rest))

    # -- in the turn's thread

    def _start_thread(self, target: Callable[[], None]) -> None:
        # A copy: the turn that is entered there holds the request, which is not to hold the turn.
        context = self._request.context.copy()
        self.thread = start_thread(lambda: context.run(target), "turn")

    def _main(
        self,
        history: list[Message] | None,
        trace: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        try:
            if history is None:
                history = self._wait_in_queue()
            if history is not None and not self._has_ended():
                with self._request.app_context(), trace():
                    turn = self._make_turn(history)
                    enter_turn(turn)
                    self._guard(lambda: self._answer(turn))
        finally:
            self._finish()

    def _run_rest(self, turn: Turn, rest: Callable[[Turn], Any]) -> None:
        try:
            enter_turn(turn)
            with self._request.app_context(), self._report.inside_turn():
                self._guard(lambda: self._send(rest, turn))
        finally:
            self._finish()

    def _answer(self, turn: Turn) -> None:
        agents = self._services.session_agents
        try:
            if self._request.agent is not None:
                self._send(self._request.agent, turn)
                return
            agent = agents.take(self._fence.key, self._calls.wait)
            if self._request.notice and agents.shared is None:
                self._calls.emit(Status(self._request.notice))
            made = agents.known or agent
            if getattr(made, "resumes", False):
                self._calls.steps.agent_resumes = True
            try:
                self._check_attachments(made)
                self._send(agent, turn)
            finally:
                agents.give_back(self._fence.key, agent)
        finally:
            if self._has_ended():
                self._services.forget_if_gone(self._fence)

    def _check_attachments(self, agent: Any) -> None:
        """Refuse them for an agent of text that was not made yet when the request came."""
        if self._request.attachments and not getattr(agent, "takes_attachments", False):
            raise TurnError("This agent accepts text alone: leave out images and files.")

    def _send(self, agent: Agent, turn: Turn) -> None:
        try:
            with switch_interval.competing():
                send_answer(agent(turn), self._calls.emit, self._calls.run_agent_task)
        finally:
            self._calls.agent_returned()

    # -- both

    def _finish(self) -> None:
        """End the turn if nothing else has ended it, and let go of it."""
        self._end(AGENT_ERROR)
        self._end, self._has_ended, self._wait_in_queue = refuse, yes, nothing

    def _make_turn(self, history: list[Message]) -> Turn:
        given = self._request.history
        return Turn(
            self._calls,
            self._request.message,
            for_agent(
                given if given is not None else history, self._services.settings.max_history_bytes
            ),
            self._request.metadata,
            self._services.workdirs,
            ephemeral=self._request.passing or self._request.ephemeral,
            replaces=self._replaces,
            client_tools=self._request.client_tools,
            attachments=self._request.attachments,
        )

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - sys.exit in an agent must not end its turn without an event
            self._fail(error)
        else:
            self._end(None)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, TurnError):
            self._end(as_error(error))
            return
        if not self._has_ended():
            key = self._fence.key
            message = "an agent failed in turn %d of %s"
            log.error(message, self._fence.turn, key.session_id, exc_info=error)
        known = self._services.explain(error)
        self._end(AGENT_ERROR if known is None else as_error(known))


def refuse(terminal: Terminal | None) -> bool:  # noqa: ARG001 - it has ended
    """End no turn again."""
    return False


def yes() -> bool:
    """The turn has ended."""
    return True
