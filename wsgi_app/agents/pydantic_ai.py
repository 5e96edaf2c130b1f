"""An agent of Pydantic AI, hosted as it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_ai import (
    AgentRunEvents,
    AgentRunResultEvent,
    DeferredToolRequests,
    DeferredToolResults,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    OutputToolCallEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    RunContext,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolDenied,
    UsageLimitExceeded,
    UsageLimits,
)
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering, ReinjectSystemPrompt
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import BaseToolReturnPart
from pydantic_core import to_jsonable_python
from pydantic_graph import End

from wsgi_app.agents.answer_end import check_end
from wsgi_app.agents.approvals import (
    approval_prompt,
    approval_schema,
    is_approval,
    refusal_reason,
)
from wsgi_app.agents.pydantic_ai_end import calls_of, end_of, tells_end
from wsgi_app.agents.pydantic_ai_translate import explain, message_history, step_limit
from wsgi_app.agents.shorter_history import answer_in_context
from wsgi_app.agents.shown_call import shown_call
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.agents.upstream_errors import describe
from wsgi_app.engine import Turn
from wsgi_app.engine.runtime.loop_executor import LoopExecutor
from wsgi_app.engine.turn.valid_messages import fold_system, parse_object
from wsgi_app.errors import TurnError, UpstreamError
from wsgi_app.events import Thinking, ToolCall, ToolResult, Usage, encode_json

log = logging.getLogger("wsgi_app")


class PydanticAIAgent:
    """Answers with an agent of Pydantic AI.

    ``agent``: the agent as it is. ``deps``: makes from the turn what the run's tools get as
    ``ctx.deps``; without it that is the `Turn`. ``usage_limits``: used as they are; without them
    models may be asked AGENT_MAX_STEPS times. Needing more ends the turn with ``step_limit``.

    A deferred tool call makes a question of the turn: an approval by yes runs the tool, anything
    else is told to the model as the reason why not; of a call that runs elsewhere the answer is
    the result. Called by any number of turns at once, each in a task on the ``agents`` loop;
    nothing changes after construction.
    """

    def __init__(
        self,
        agent: AbstractAgent[Any, Any],
        *,
        deps: Callable[[Turn], Any] | None = None,
        usage_limits: UsageLimits | None = None,
    ) -> None:
        self._agent = agent
        self._deps = deps
        self._usage_limits = usage_limits
        # Pydantic AI's own threads are few, and tools that wait for their users would take them.
        self._executor = LoopExecutor()

    #: Whether it looks for what the user says while a turn runs.
    takes_steering = True

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
        hooks = _Hooks(turn, limits.request_limit)
        history, message = fold_system(turn.history, turn.message)
        run = self._agent.run_stream_events(
            message,
            message_history=message_history(history),
            deps=self._deps(turn) if self._deps else turn,
            usage_limits=limits,
            # The history holds no system prompt, without which a later turn would have none.
            capabilities=[ReinjectSystemPrompt(), hooks],
        )
        with self._agent.using_thread_executor(self._executor):
            try:
                async with run as events:
                    await _Report(turn, limits).follow(events)
            finally:
                await hooks.end_tasks()


class _Hooks(AbstractCapability[Any]):
    """Asks the user what the run waits for, and sees to its end.

    Used by tasks of the ``agents`` loop.
    """

    def __init__(self, turn: Turn, max_requests: int | None) -> None:
        self._turn = turn
        self._max_requests = max_requests
        self._has_spoken = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def get_ordering(self) -> CapabilityOrdering:
        """Ask last: the agent's own handlers go first."""
        return CapabilityOrdering(position="innermost")

    async def wrap_run(self, ctx: Any, *, handler: Callable[[], Any]) -> Any:  # noqa: ARG002 - Pydantic AI's signature
        """Note the task that stands around the run."""
        self._note_task()
        return await handler()

    async def before_model_request(self, ctx: RunContext[Any], request_context: Any) -> Any:
        """Hand on what the user has said since the last request.

        Nobody could answer what comes during the last one. What comes before the first waits.
        """
        is_last = self._max_requests is not None and ctx.usage.requests >= self._max_requests - 1
        if ctx.usage.requests or is_last:
            self._hand_on(ctx, self._turn.steered(last=is_last))
        return request_context

    async def after_node_run(self, ctx: RunContext[Any], *, node: Any, result: Any) -> Any:
        """Have the run go on with what the user has said meanwhile, where it would end."""
        del node
        if isinstance(result, End) and not self._turn.may_end():
            self._hand_on(ctx, self._turn.steered())
            if self._has_spoken:
                self._turn.emit("\n\n")
        return result

    @staticmethod
    def _hand_on(ctx: RunContext[Any], texts: Sequence[str]) -> None:
        for text in texts:
            ctx.enqueue(text)

    async def wrap_model_request(
        self,
        ctx: Any,  # noqa: ARG002 - the same
        *,
        request_context: Any,
        handler: Callable[[Any], Any],
    ) -> Any:
        """Note the task that holds a model's answer open, and check how that ends."""
        self._note_task()
        response = await handler(request_context)
        if tells_end(request_context.model):
            self._check_end(response)
        return response

    def _check_end(self, response: ModelResponse) -> None:
        """Check how a model's answer has ended, see `answer_end`; raises UpstreamError."""
        has_text = any(not isinstance(part, ThinkingPart) for part in response.parts)
        self._has_spoken = self._has_spoken or has_text
        check_end(
            end_of(response),
            has_text=has_text,
            has_spoken=self._has_spoken,
            calls=calls_of(response),
            emit=self._turn.emit,
        )

    def _note_task(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)

    async def end_tasks(self) -> None:
        """End what the run has left.

        A cancel in the moment in which Pydantic AI has such a task begun leaves it waiting for
        ever, the connection to the provider with it.
        """
        left = [task for task in self._tasks if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults:
        """Ask for each call, one after the other."""
        del ctx
        results = DeferredToolResults()
        for call in requests.approvals:
            results.approvals[call.tool_call_id] = await self._ask_approval(call)
        for call in requests.calls:
            prompt = f"What is the result of {_shown(call)}?"
            results.calls[call.tool_call_id] = await self._turn.ask_async(prompt)
        return results

    async def _ask_approval(self, call: ToolCallPart) -> bool | ToolDenied:
        prompt = approval_prompt(call.tool_name, call.args_as_json_str())
        answer = await self._turn.ask_async(prompt, approval_schema(call.tool_call_id))
        if is_approval(answer):
            return True
        return ToolDenied(refusal_reason(answer) or "The user did not allow this call.")


class _Report:
    """Tells a turn what its run does. Used by one task of the ``agents`` loop."""

    def __init__(self, turn: Turn, limits: UsageLimits) -> None:
        self._turn = turn
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
        if call_id not in self._open:  # one that waited for its approval is told a second time
            self._open.add(call_id)
            self._turn.emit(ToolCall(tool, call_id, arguments))

    def _send_result(self, part: BaseToolReturnPart[Any]) -> None:
        self._open.discard(part.tool_call_id)
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
        self._turn.add_usage(Usage(usage.input_tokens, usage.output_tokens, usage.total_tokens))


def _shown(call: ToolCallPart) -> str:
    return shown_call(call.tool_name, call.args_as_json_str())


def _input_of(call: ToolCallPart | NativeToolCallPart) -> dict[str, Any]:
    return parse_object(call.args_as_json_str()) or {}


def _without_files(part: BaseToolReturnPart[Any]) -> Any:
    if part.files:
        return bounded_json(part.model_response_str_and_user_content()[0])
    return bounded_json(part.content)
