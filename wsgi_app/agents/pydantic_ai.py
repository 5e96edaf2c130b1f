"""An agent of Pydantic AI, hosted as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_ai import (
    AgentRunEvents,
    AgentRunResultEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    NativeToolCallPart,
    NativeToolReturnPart,
    OutputToolCallEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    RunUsage,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    UsageLimitExceeded,
    UsageLimits,
)
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import ReinjectSystemPrompt
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import BaseToolReturnPart
from pydantic_core import to_jsonable_python

from wsgi_app.agents.pydantic_ai_hooks import Hooks
from wsgi_app.agents.pydantic_ai_steps import RunSteps
from wsgi_app.agents.pydantic_ai_translate import (
    client_toolsets,
    explain,
    message_history,
    step_limit,
    user_content,
)
from wsgi_app.agents.shorter_history import answer_in_context
from wsgi_app.agents.steps_of_calls import StepsOfCalls, checked_on_crash
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.agents.tools import OnCrash
from wsgi_app.agents.upstream_errors import describe
from wsgi_app.engine import Turn
from wsgi_app.engine.runtime.loop_executor import LoopExecutor
from wsgi_app.engine.turn.valid_messages import fold_system, parse_object
from wsgi_app.errors import TurnError, UpstreamError
from wsgi_app.events import Thinking, ToolCall, ToolResult, encode_json

log = logging.getLogger("wsgi_app")


class PydanticAIAgent:
    """Answers with an agent of Pydantic AI.

    ``agent``: the agent as it is. ``deps``: makes from the turn what the run's tools get as
    ``ctx.deps``; without it that is the `Turn`. ``usage_limits``: used as they are; without them
    models may be asked AGENT_MAX_STEPS times. Needing more ends the turn with ``step_limit``.

    A deferred tool call makes a question of the turn: an approval by yes runs the tool, anything
    else is told to the model as the reason why not; of a call that runs elsewhere the answer is
    the result.

    ``resume``: with Redis, another worker goes on with a turn whose worker dies, from its last
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
        """Whether turns of other workers are gone on with."""
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
                    await _Report(turn, limits, steps).follow(events)
            finally:
                await hooks.end_tasks()


class _Report:
    """Tells a turn what its run does. Used by one task of the ``agents`` loop."""

    def __init__(self, turn: Turn, limits: UsageLimits, steps: RunSteps) -> None:
        self._turn = turn
        self._clients = {tool.name for tool in turn.client_tools}
        self._steps = steps
        #: Calls whose results the user has been told of, on another worker.
        self._told = steps.told_results()
        self._limits = limits
        self._open: set[str] = set()
        self._has_text = False

    async def follow(self, events: AgentRunEvents[Any]) -> None:
        """Tell all that the run streams, to its end."""
        try:
            async for event in events:
                self._take(event)
        except Exception as error:
            failure = self._explain(error, events)
            if failure is None or failure is error:
                raise
            raise failure from error
        finally:
            self._count(events)

    def _take(self, event: Any) -> None:
        match event:
            case PartStartEvent():
                self._take_part(event.part)
            case PartDeltaEvent():
                self._take_delta(event.delta)
            case PartEndEvent(part=NativeToolCallPart() as call):
                self._send_call(call.tool_name, call.tool_call_id, _input_of(call))
            case FunctionToolCallEvent(part=call) if call.tool_name in self._clients:
                self._has_text = False  # what the client is asked, and gives, tells of it
            case FunctionToolResultEvent(part=part) if part.tool_name in self._clients:
                pass
            case FunctionToolCallEvent(part=call):
                self._has_text = False
                self._send_call(call.tool_name, call.tool_call_id, _input_of(call))
            case FunctionToolResultEvent(part=part):
                self._send_result(part)
            case OutputToolCallEvent():
                self._has_text = False
            case AgentRunResultEvent():
                self._send_output(event.result.output)

    def _take_part(self, part: Any) -> None:
        match part:
            case TextPart():
                self._send_text(part.content)
            case ThinkingPart():
                self._send_thinking(part.content)
            case NativeToolReturnPart():
                self._send_result(part)

    def _take_delta(self, delta: Any) -> None:
        match delta:
            case TextPartDelta():
                self._send_text(delta.content_delta)
            case ThinkingPartDelta():
                self._send_thinking(delta.content_delta)

    def _send_text(self, text: str) -> None:
        if text:
            self._has_text = True
            self._turn.emit(text)

    def _send_thinking(self, text: str | None) -> None:
        if text:
            self._turn.emit(Thinking(text))

    def _send_call(self, tool: str, call_id: str, arguments: dict[str, Any]) -> None:
        if call_id not in self._open and call_id not in self._told:
            self._open.add(call_id)  # one that waited for its approval is told a second time
            self._turn.emit(ToolCall(tool, call_id, arguments))
        self._steps.note_told(call_id)

    def _send_result(self, part: BaseToolReturnPart[Any]) -> None:
        self._open.discard(part.tool_call_id)
        if part.tool_call_id in self._told:
            self._told.discard(part.tool_call_id)
            return
        if part.outcome == "success":
            output = _without_files(part)
            self._turn.emit(ToolResult(part.tool_name, part.tool_call_id, output))
        else:
            output = {"error": bounded_json(part.model_response_str(wrap_if_error=False))}
            self._turn.emit(ToolResult(part.tool_name, part.tool_call_id, output, status="error"))

    def _send_output(self, output: Any) -> None:
        """Send the run's output, unless it was streamed as text."""
        if output is not None and not self._has_text:
            text = encode_json(to_jsonable_python(output, fallback=str)).decode()
            self._turn.emit(output if isinstance(output, str) else text)

    def _explain(self, error: Exception, events: AgentRunEvents[Any]) -> TurnError | None:
        limit = self._limits.request_limit
        if limit is None or not isinstance(error, UsageLimitExceeded):
            return explain(error)
        return step_limit(limit) if events.usage.requests >= limit else explain(error)

    def _count(self, events: AgentRunEvents[Any]) -> None:
        try:
            usage = events.usage
        except UserError:
            return  # the run never began
        self._steps.count(usage)


def _input_of(call: ToolCallPart | NativeToolCallPart) -> dict[str, Any]:
    return parse_object(call.args_as_json_str()) or {}


def _without_files(part: BaseToolReturnPart[Any]) -> Any:
    if part.files:
        return bounded_json(part.model_response_str_and_user_content()[0])
    return bounded_json(part.content)
