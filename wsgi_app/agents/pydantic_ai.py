"""An agent of Pydantic AI, hosted as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_ai import (
    RunUsage,
    UsageLimits,
)
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import ReinjectSystemPrompt

from wsgi_app.agents.pydantic_ai_hooks import Hooks
from wsgi_app.agents.pydantic_ai_report import Report
from wsgi_app.agents.pydantic_ai_steps import RunSteps
from wsgi_app.agents.pydantic_ai_sub_agent import SubAgent
from wsgi_app.agents.pydantic_ai_translate import (
    client_toolsets,
    message_history,
    user_content,
)
from wsgi_app.agents.shorter_history import answer_in_context
from wsgi_app.agents.steps_of_calls import StepsOfCalls, checked_on_crash
from wsgi_app.agents.tools import OnCrash
from wsgi_app.agents.upstream_errors import describe
from wsgi_app.engine import Turn
from wsgi_app.engine.runtime.loop_executor import LoopExecutor
from wsgi_app.engine.turn.valid_messages import fold_system
from wsgi_app.errors import UpstreamError

__all__ = ["PydanticAIAgent", "SubAgent"]

log = logging.getLogger("wsgi_app")


class PydanticAIAgent:
    """Answers with an agent of Pydantic AI.

    ``agent``: the agent as it is. ``deps``: makes from the turn what the run's tools get as
    ``ctx.deps``; without it that is the `Turn`. ``usage_limits``: used as they are; without them
    models may be asked AGENT_MAX_STEPS times. Needing more ends the turn with ``step_limit``.

    A deferred tool call makes a question of the turn: an approval by yes runs the tool, anything
    else goes to the model as the reason why not; of a call that runs elsewhere the answer is
    the result.

    ``resume``: with Redis, another worker continues a turn whose worker dies, from its last
    finished step. ``on_crash``: what happens to a call in flight, by the tool's name, see `Tool`.
    Called by any number of turns at once, each in a task on the ``agents`` loop;
    nothing changes after construction.
    """

    def __init__(
        self,
        agent: AbstractAgent[Any, Any],
        *,
        deps: Callable[[Turn], Any] | None = None,
        usage_limits: UsageLimits | None = None,
        resume: bool = True,
        on_crash: Mapping[str, OnCrash] | None = None,
    ) -> None:
        self._resume = resume
        self._on_crash = checked_on_crash(on_crash)
        self._agent = agent
        self._deps = deps
        self._usage_limits = usage_limits
        # Pydantic AI's own threads are few, and tools that wait for their users would take them.
        self._executor = LoopExecutor()

    #: Whether its model is shown what came with a message.
    takes_attachments = True
    #: Whether its model may call tools of a turn's client.
    takes_client_tools = True
    #: Whether it looks for what the user says while a turn runs.
    takes_steering = True

    @property
    def tool_names(self) -> list[str]:
        """The names that no tool of a client's may have."""
        return [name for one in self._agent.toolsets for name in getattr(one, "tools", ())]

    @property
    def resumes(self) -> bool:
        """Whether turns of other workers are continued."""
        return self._resume

    async def __call__(self, turn: Turn) -> None:
        """Answer a turn.

        Raises UpstreamError when the provider fails, TurnError for the step limit.
        """
        try:
            await answer_in_context(turn, lambda: self._answer(turn))
        except UpstreamError as error:
            log.warning("the model provider failed: %s", describe(error))
            raise

    async def _answer(self, turn: Turn) -> None:
        limits = self._usage_limits or UsageLimits(request_limit=turn.max_steps)
        steps = RunSteps(turn, StepsOfCalls(turn, self._on_crash, keeps=self._resume))
        hooks = Hooks(turn, steps, limits.request_limit)
        history, message = fold_system(turn.history, turn.message)
        left = steps.messages
        run = self._agent.run_stream_events(
            None if left else user_content(turn, message),
            message_history=left or message_history(history),
            usage=RunUsage(requests=steps.requests),
            deps=self._deps(turn) if self._deps else turn,
            usage_limits=limits,
            toolsets=client_toolsets(turn),
            # The history holds no system prompt, without which a later turn would have none.
            capabilities=[ReinjectSystemPrompt(), hooks],
        )
        with self._agent.using_thread_executor(self._executor):
            try:
                async with run as events:
                    await Report(turn, limits, steps).follow(events)
            finally:
                await hooks.end_tasks()
