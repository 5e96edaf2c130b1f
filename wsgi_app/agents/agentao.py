"""Agents of Agentao: one object per session, in its tenant's directory."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

import openai
from agentao import Agentao, TurnOutcome
from agentao.cancellation import CancellationToken
from agentao.mcp.registry import InMemoryMCPRegistry
from agentao.skills import SkillManager

from wsgi_app.agents.agentao_sockets import ClientSockets
from wsgi_app.agents.agentao_transport import CANCEL_REASON, SessionTransport, TurnEvents
from wsgi_app.agents.upstream_errors import (
    describe,
    from_openai,
    incomplete_answer,
    status_error,
)
from wsgi_app.engine import Turn
from wsgi_app.engine.runtime.waits import EndsWithRun
from wsgi_app.errors import TurnError, UpstreamError
from wsgi_app.events import Status

log = logging.getLogger("wsgi_app")

_STOPPED_BY_HOOK: Final = "hook_stop"
#: Those of Agentao's modules that log a provider's answer when it is an error.
_MODEL_MODULES: Final = ("client", "_runner")


class AgentaoAgent:
    """Makes the agents of sessions; hand it to `AgentHost`.

    ``make`` is called once per session, with keyword arguments to pass on to ``Agentao``, and
    gives the agent; everything that holds state, such as tools, it makes again each time. They are
    ``working_directory``, the tenant's; ``transport``, through which the turn gets the agent's
    events; and, so that nothing comes from or goes to the home directory of the worker's user,
    or to another tenant's log, ``logger``, ``mcp_registry`` (empty) and ``skill_manager`` (the
    tenant's own skills), which ``make`` may replace. ``max_steps``: how many times the model may
    be asked in one turn, AGENT_MAX_STEPS if not given.
    """

    def __init__(self, make: Callable[..., Agentao], *, max_steps: int | None = None) -> None:
        self._make = make
        self._max_steps = max_steps

    def __call__(self) -> AgentaoSession:
        """Make a session's agent."""
        return AgentaoSession(self._make, self._max_steps)


class AgentaoSession:
    """The agent of one session.

    Called by one turn after the other, each in its thread, and closed by any thread; ``_lock``
    guards whether it is closed. A turn's end also reaches ``_sockets``, which guard themselves.
    """

    def __init__(self, make: Callable[..., Agentao], max_steps: int | None) -> None:
        self._make = make
        self._max_steps = max_steps
        self._transport = SessionTransport()
        self._sockets = ClientSockets()
        self._lock = threading.Lock()
        self._closed = False
        self._agent: Agentao | None = None
        #: Whether the agent's own messages are what the host's history has.
        self._in_step = False

    def __call__(self, turn: Turn) -> None:
        """Answer a turn.

        Raises UpstreamError when the model's provider fails, TurnError with code ``step_limit``.
        """
        agent = self._agent or self._make_agent(turn)
        # The agent runs async tools on the loop that its token names.
        token = CancellationToken(runtime_loop=turn.run_async(_running_loop()))
        self._sockets.hook_into(agent.llm)
        turn.on_cancel(EndsWithRun(partial(self._stop, token)))
        if not self._in_step:
            agent.clear_history()
            agent.messages = [dict(message) for message in turn.history]
        self._in_step = False
        max_steps = self._max_steps or turn.max_steps
        events = self._transport.events = TurnEvents(turn, token)
        try:
            reply = agent.chat(turn.message, max_steps, token)
        finally:
            self._transport.events = None
        if events.failure is not None:
            raise events.failure
        turn.check()
        _finish(turn, reply, agent.last_turn, events, max_steps)
        self._in_step = True

    def close(self) -> None:
        """End what the agent holds: its model client's connections, MCP servers, memory, log."""
        with self._lock:
            self._closed, agent = True, self._agent
        if agent is not None:
            _close(agent)

    def _stop(self, token: CancellationToken) -> None:
        token.cancel(CANCEL_REASON)
        self._sockets.shut()

    def _make_agent(self, turn: Turn) -> Agentao:
        folder = turn.workdir
        agent = self._make(
            working_directory=folder,
            transport=self._transport,
            logger=_quiet_logger(self._transport),
            mcp_registry=InMemoryMCPRegistry(),
            skill_manager=SkillManager(
                str(folder / ".agentao" / "skills"), working_directory=folder
            ),
        )
        with self._lock:
            self._agent, closed = agent, self._closed
        if closed:
            _close(agent)
        if agent.working_directory != folder.resolve():
            raise TypeError("the function given to AgentaoAgent must hand its arguments on")
        return agent


def _close(agent: Agentao) -> None:
    agent.close()
    # Its own close() leaves the connections of the model's client to the garbage collector.
    close_client = getattr(getattr(agent.llm, "client", None), "close", None)
    if close_client is not None:
        close_client()


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _quiet_logger(transport: SessionTransport) -> logging.Logger:
    """A logger that says what is wrong, but no prompt, and nothing of the provider's text."""

    def is_wanted(record: logging.LogRecord) -> bool:
        # The turn logs the provider's faults itself; a cancel's broken requests are none.
        of_model = record.levelno >= logging.ERROR and record.module in _MODEL_MODULES
        return not of_model and not (transport.events and transport.events.cancelled)

    logger = logging.Logger("wsgi_app.agentao", logging.WARNING)  # noqa: LOG001 - registered ones stay for good
    logger.parent = log
    logger.addFilter(is_wanted)
    return logger


def _finish(
    turn: Turn, reply: str, outcome: TurnOutcome | None, events: TurnEvents, max_steps: int
) -> None:
    """Report how the agent's turn came to its end, where the end is not the model's answer."""
    reason = None if outcome is None else outcome.incomplete_reason
    if reason == "llm_error":
        raise _upstream_error(events.model_error)
    if reason == "max_iterations":
        raise TurnError(
            f"The model needs more than {max_steps} steps.",
            {"max_steps": max_steps},
            code="step_limit",
        )
    if reason == _STOPPED_BY_HOOK:
        turn.emit(reply)  # the hook's text, which is not streamed
    elif reason is not None:
        turn.emit(Status(f"The answer is not complete: {reason}."))


def _upstream_error(cause: BaseException | None) -> UpstreamError:
    status = getattr(cause, "status_code", None)
    if isinstance(status, int):
        error = status_error(status)  # of any provider's package
    elif isinstance(cause, openai.OpenAIError):
        error = from_openai(cause)
    else:
        error = incomplete_answer()
    error.__cause__ = cause
    log.warning("the model provider failed: %s", describe(error))
    return error
