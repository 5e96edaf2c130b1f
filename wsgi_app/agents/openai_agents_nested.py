"""Agents that a tool of the Agents SDK runs, shown as sub-agents of the turn."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import ExitStack
from typing import Any, cast

from agents import RunConfig, RunHooks, RunResultStreaming, RunState, StreamEvent
from agents.items import ToolApprovalItem
from agents.run import AgentRunner, get_default_agent_runner, set_default_agent_runner
from agents.tool import Tool
from agents.tool_context import ToolContext

from wsgi_app.agents.openai_agents_report import Report
from wsgi_app.agents.openai_agents_steering import SdkSteering
from wsgi_app.agents.openai_agents_steps import SdkSteps
from wsgi_app.agents.steps_of_calls import StepsOfCalls
from wsgi_app.compat.python import aclosing
from wsgi_app.engine import Turn, current_turn
from wsgi_app.errors import TurnError

_lock = threading.Lock()


def show_nested_runs() -> None:
    """Have runs within tools of turns be shown; any other run stays as it is.

    An agent used as a tool is run by ``Runner.run``, as one that a tool's function runs, and the
    SDK lets nobody else see it. ``_lock`` guards the runner that all of a process use.
    """
    with _lock:
        before = get_default_agent_runner()
        if not isinstance(before, NestedRunner):
            set_default_agent_runner(NestedRunner(before))


class NestedRunner(AgentRunner):
    """Streams what a tool's code runs, for the turn to show it. Used by any thread."""

    def __init__(self, before: AgentRunner) -> None:
        self._before = before

    async def run(self, starting_agent: Any, input: Any, **options: Any) -> Any:  # noqa: A002 - the SDK's name
        """Run an agent; returns the same as a run that is not observed."""
        with ExitStack() as stack:
            turn = _enter_child(stack, starting_agent.name, options.get("context"))
            if turn is None:
                return await self._before.run(starting_agent, input, **options)
            report = NestedReport(turn, options.get("hooks"), options.get("run_config"))
            if isinstance(input, RunState):
                report.note_called(input.get_interruptions())
            result = self._before.run_streamed(
                starting_agent, input, **{**options, **report.options()}
            )
            await report.follow(result)
            return result

    def run_sync(self, *args: Any, **options: Any) -> Any:
        """See `AgentRunner.run_sync`: of threads nothing is shown."""
        return self._before.run_sync(*args, **options)

    def run_streamed(self, *args: Any, **options: Any) -> RunResultStreaming:
        """See `AgentRunner.run_streamed`: its reader sees it."""
        return self._before.run_streamed(*args, **options)


def _enter_child(stack: ExitStack, name: str, context: Any) -> Turn | None:
    """A sub-agent for the call of the tool that calls; None where there is none, or too many."""
    try:
        turn = current_turn()
        # One that continues behind an approval is called without the hook that notes the call.
        call_id = context.tool_call_id if isinstance(context, ToolContext) else turn.inner_call
        return stack.enter_context(turn.child(name, call_id)) if call_id else None
    except (LookupError, TurnError):
        return None


class NestedReport(Report):
    """Reports a run to a sub-agent's turn. Used by tasks of the ``agents`` loop alone."""

    def __init__(self, turn: Turn, hooks: RunHooks[Any] | None, config: Any) -> None:
        self._hooks = hooks or RunHooks[Any]()
        self._config = config if isinstance(config, RunConfig) else None
        format_error = self._config.tool_error_formatter if self._config else None
        steps = SdkSteps(turn, StepsOfCalls(turn, {}, keeps=False), SdkSteering(turn, 0, None))
        super().__init__(turn, 0, format_error, steps)

    def options(self) -> dict[str, Any]:
        """What the run is to have, beside its own."""
        if self._config is None:
            return {"hooks": self}
        # What the user says is for the agent that called: the filter is that one's.
        own = self._config.call_model_input_filter
        config = dataclasses.replace(
            self._config,
            tool_error_formatter=self.note_error,
            call_model_input_filter=own.others if isinstance(own, SdkSteering) else own,
        )
        return {"hooks": self, "run_config": config}

    def note_called(self, asked: Sequence[ToolApprovalItem]) -> None:
        """Note the calls that the user was asked about, and has seen before."""
        for item in asked:
            self._called[item.call_id or ""] = item.name or "a tool"

    async def follow(self, result: RunResultStreaming) -> None:
        """Report all that the run streams; raises what the run raises, for its tool to handle."""
        async with aclosing(cast("AsyncGenerator[StreamEvent, None]", result.stream_events())) as s:
            try:
                async for event in s:
                    self._take(event)
            except BaseException:
                result.cancel()
                raise

    def _count_usage(self, usage: Any) -> None:
        """Count nothing: the sums of the run that called have it."""

    # -- what the SDK calls, for the run's own hooks too

    async def on_llm_start(self, context: Any, agent: Any, *asked: Any) -> None:
        """See `Report`."""
        await super().on_llm_start(context, agent, *asked)
        await self._hooks.on_llm_start(context, agent, *asked)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        """See `Report`."""
        await super().on_llm_end(context, agent, response)
        await self._hooks.on_llm_end(context, agent, response)

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        """Hand on."""
        await self._hooks.on_agent_start(context, agent)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        """Hand on."""
        await self._hooks.on_agent_end(context, agent, output)

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        """Hand on."""
        await self._hooks.on_handoff(context, from_agent, to_agent)

    def on_tool_start(  # type: ignore[override]
        self, context: Any, agent: Any, tool: Tool
    ) -> Awaitable[None]:
        """See `Report`; no coroutine itself."""
        begun = super().on_tool_start(context, agent, tool)

        async def both() -> None:
            await begun
            await self._hooks.on_tool_start(context, agent, tool)

        return both()

    async def on_tool_end(self, context: Any, agent: Any, tool: Tool, result: Any) -> None:
        """See `Report`."""
        await super().on_tool_end(context, agent, tool, result)
        await self._hooks.on_tool_end(context, agent, tool, result)
