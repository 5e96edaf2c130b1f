"""Agents of Pydantic AI that a tool runs, shown as sub-agents of the turn."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any

from pydantic_ai import RunContext, ToolCallPart, UsageLimits
from pydantic_ai.capabilities import AbstractCapability

from wsgi_app.agents.pydantic_ai_report import Report
from wsgi_app.agents.pydantic_ai_steps import RunSteps
from wsgi_app.agents.steps_of_calls import StepsOfCalls
from wsgi_app.engine import Turn, current_turn
from wsgi_app.errors import TurnError


class SubAgent(AbstractCapability[Any]):
    """Shows what an agent does that a tool of a turn runs.

    A capability of the agent that is run, since Pydantic AI lets nobody else see its run:
    ``Agent(model, name="researcher", capabilities=[SubAgent()])``. Its runs stream then; any other
    run of the agent is as it was. ``name``: as the user sees it, the agent's own if not given.

    Used by any number of runs; nothing changes after construction.
    """

    def __init__(self, name: str | None = None) -> None:
        self._name = name

    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        """What sees one run, within a tool of a turn."""
        try:
            turn = current_turn()
        except LookupError:
            return self
        if not turn.inner_call:
            return self
        own = ctx.agent.name if ctx.agent is not None else None
        return _ShownRun(turn, self._name or own or "agent")


class _ShownRun(AbstractCapability[Any]):
    """Sees one run. Used by its tasks."""

    def __init__(self, turn: Turn, name: str) -> None:
        self._above = turn
        self._name = name
        self._turn: Turn | None = None
        self._report: Report | None = None
        self._steps: RunSteps | None = None

    async def wrap_run(self, ctx: Any, *, handler: Callable[[], Any]) -> Any:  # noqa: ARG002 - Pydantic AI's signature
        """Have a sub-agent for the run; none where there are too many."""
        with ExitStack() as stack:
            try:
                turn = stack.enter_context(self._above.child(self._name))
            except TurnError:
                return await handler()
            self._steps = RunSteps(turn, StepsOfCalls(turn, {}, keeps=False))
            self._report = Report(turn, UsageLimits(), self._steps)
            return await handler()

    async def wrap_run_event_stream(
        self,
        ctx: Any,  # noqa: ARG002 - the same
        *,
        stream: AsyncIterable[Any],
    ) -> AsyncIterator[Any]:
        """Report what the run streams."""
        async for event in stream:
            if self._report is not None:
                self._report.take(event)
            yield event

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: Any,  # noqa: ARG002 - the same
        args: Any,
        handler: Callable[[Any], Any],
    ) -> Any:
        """Let a tool know its call."""
        if self._steps is None:
            return await handler(args)
        return await self._steps.run(ctx, call, lambda: handler(args))
