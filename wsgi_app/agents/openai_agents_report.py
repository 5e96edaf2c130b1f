"""What a run of the Agents SDK does, as events of its turn."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast

from agents import (
    HandoffOutputItem,
    ModelResponse,
    RunContextWrapper,
    RunHooks,
    RunItem,
    RunResultStreaming,
    RunState,
    StreamEvent,
    ToolCallItem,
    ToolCallOutputItem,
)
from agents.items import ToolApprovalItem
from agents.run_config import ToolErrorFormatterArgs
from agents.tool import Tool
from agents.tool_context import ToolContext
from pydantic_core import to_jsonable_python

from wsgi_app.agents.answer_end import CUT_OFF
from wsgi_app.agents.approvals import approval_prompt, approval_schema, is_approval, refusal_reason
from wsgi_app.agents.openai_agents_steps import SdkSteps
from wsgi_app.agents.openai_agents_translate import (
    ModelState,
    call_input,
    explain,
    explain_model_failure,
    raw_field,
)
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.agents.toolbox import OUTCOME_UNKNOWN
from wsgi_app.agents.tools import describe_error
from wsgi_app.agents.upstream_errors import CUT_OFF_DETAILS, missing_answer
from wsgi_app.compat.python import aclosing
from wsgi_app.engine import Turn
from wsgi_app.errors import TurnCancelled, TurnError
from wsgi_app.events import (
    AnyEvent,
    Handoff,
    Status,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    encode_json,
)

_TEXT: Final = frozenset({"response.output_text.delta", "response.refusal.delta"})
_THINKING: Final = frozenset(
    {"response.reasoning_text.delta", "response.reasoning_summary_text.delta"}
)
#: Calls that ran at the provider: the SDK streams no result of them.
_HOSTED: Final = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "web_search_call",
    }
)


class Report(RunHooks[Any]):
    """Reports to a turn what its run does. Used by tasks of the ``agents`` loop alone.

    The run streams a tool's result only once all tools of its step have ended. So results are
    taken from the hooks, and wait for their call, which may still be on its way in the stream.
    """

    def __init__(
        self,
        turn: Turn,
        max_turns: int,
        format_error: Callable[[ToolErrorFormatterArgs[Any]], Any] | None,
        steps: SdkSteps,
    ) -> None:
        self._steps = steps
        self._turn = turn
        self._max_turns = max_turns
        self._format_error = format_error
        self._clients = {tool.name for tool in turn.client_tools}
        self._called: dict[str, str] = {}
        self._early: dict[str, ToolResult] = {}
        self._finished: set[str] = set()
        for event in turn.records.events:
            self._note_event(event)
        self._errors: dict[str, str] = {}
        self._ending: TurnError | None = None
        #: What of the run is counted in the turn.
        self.counted = Usage()
        self._model: ModelState = "idle"
        self._has_text = self._has_spoken = False

    def _note_event(self, event: AnyEvent) -> None:
        """Note what the user has seen before this run."""
        if isinstance(event, ToolCall):
            self._called[event.call_id] = event.tool
            self._steps.note_shown(event.call_id)
        elif isinstance(event, ToolResult):
            self._finished.add(event.call_id)

    async def follow(self, result: RunResultStreaming) -> None:
        """Tell all that the run streams, to its end or its next approval."""
        stream = cast("AsyncGenerator[StreamEvent, None]", result.stream_events())
        try:
            async with aclosing(stream):
                try:
                    async for event in stream:
                        self._take(event)
                except BaseException:
                    result.cancel()  # closing the stream would wait for the run's own end
                    raise
        except Exception as error:
            failure = self._ending or self._explain(error)
            if failure is None or failure is error:
                raise
            if failure.details != CUT_OFF_DETAILS or not self._has_text:
                raise failure from error
            self._turn.emit(Status(CUT_OFF))  # what the SDK takes for an error
        finally:
            self._count(result)

    async def ask_approvals(self, state: RunState[Any]) -> RunState[Any]:
        """Ask for each call that waits for it; gives what the run resumes from."""
        for item in state.get_interruptions():
            call_id, name = item.call_id or "", item.name or "a tool"
            if self._steps.was_begun(call_id):
                await self._decide_again(state, item)
                continue
            prompt = approval_prompt(name, item.arguments or "{}")
            answer = await self._turn.ask_async(prompt, approval_schema(call_id))
            if is_approval(answer):
                state.approve(item)
                continue
            reason = refusal_reason(answer)
            self._errors[call_id] = reason or "The user did not allow this call."
            state.reject(item, rejection_message=reason)
        return state

    async def _decide_again(self, state: RunState[Any], item: ToolApprovalItem) -> None:
        """Approve a call that was approved on another worker, or report what became of it."""
        call_id = item.call_id or ""
        outcome = await self._steps.outcome_of(call_id, item.name or "a tool", item.arguments)
        if outcome is None:
            state.approve(item)
            return
        if outcome == OUTCOME_UNKNOWN:
            self._errors[call_id] = outcome
        state.reject(item, rejection_message=outcome)

    def send_output(self, output: Any) -> None:
        """Send the run's output, unless it was streamed as text; raises UpstreamError for none."""
        if output == "" and not self._has_spoken:
            raise missing_answer()
        if output is not None and not self._has_text:
            text = encode_json(to_jsonable_python(output, fallback=str)).decode()
            self._turn.emit(output if isinstance(output, str) else text)

    def begin_again(self) -> None:
        """Go on with another run: the user has said something more."""
        if self._has_spoken:
            self._turn.emit("\n\n")
        self.counted = Usage()
        self._has_text = False

    def _explain(self, error: Exception) -> TurnError | None:
        return explain_model_failure(error, self._model) or explain(error, self._max_turns)

    # -- what the SDK calls

    async def on_llm_start(
        self, context: Any, agent: Any, system_prompt: Any, input_items: list[Any]
    ) -> None:
        """Note what is asked, and that what fails from now on is the model."""
        del context, agent, system_prompt
        self._model = "asked"
        self._steps.note_asked(input_items)

    async def on_llm_end(
        self, context: RunContextWrapper[Any], agent: Any, response: ModelResponse
    ) -> None:
        """Note that the model has answered."""
        self._model = "idle"
        self._count_usage(context.usage)
        self._steps.note_answer(agent, response)

    def on_tool_start(  # type: ignore[override]
        self, context: RunContextWrapper[Any], agent: Any, tool: Tool
    ) -> Awaitable[None]:
        """Record the call's step; no coroutine itself, for the tool's task to know its call."""
        del agent, tool
        if not isinstance(context, ToolContext):
            return asyncio.sleep(0)
        self._steps.enter(context)
        return self._steps.begin(context.tool_call_id)

    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: Any, tool: Tool, result: object
    ) -> None:
        """Tell a function tool's result as soon as it is there."""
        del agent
        if self._ending is not None:
            raise self._ending
        if isinstance(context, ToolContext):
            self._steps.note_result(context, result)
            with suppress(TurnCancelled):  # the run is about to be cancelled, too
                self._send_result(context.tool_call_id, tool.name, result)

    async def note_error(self, args: ToolErrorFormatterArgs[Any]) -> str | None:
        """Note why a tool failed; what the model gets is left to the SDK or its user."""
        if isinstance(args.error, TurnError):
            self._ending = args.error
        error = describe_error(args.error) if args.error else args.default_message
        self._errors.setdefault(args.call_id, error)
        message = self._format_error(args) if self._format_error else None
        return await message if inspect.isawaitable(message) else message

    # -- what the run streams

    def _take(self, event: StreamEvent) -> None:
        if event.type == "raw_response_event":
            self._model = "answering"
            self._take_delta(event.data)
        elif event.type == "run_item_stream_event":
            self._take_item(event.item)

    def _take_delta(self, data: Any) -> None:
        if data.type in _TEXT and data.delta:
            self._has_text = self._has_spoken = True
            self._turn.emit(data.delta)
        elif data.type in _THINKING and data.delta:
            self._turn.emit(Thinking(data.delta))

    def _take_item(self, item: RunItem) -> None:
        if isinstance(item, ToolCallItem):
            self._send_call(item)
        elif isinstance(item, ToolCallOutputItem):
            call_id = item.call_id or ""
            self._send_result(call_id, self._called.get(call_id, "tool"), item.output)
        elif isinstance(item, HandoffOutputItem):
            name = item.target_agent.name
            self._turn.emit(Handoff(f"{name} takes over.", name))

    def _send_call(self, item: ToolCallItem) -> None:
        call_id, kind = item.call_id or "", raw_field(item.raw_item, "type")
        if call_id in self._called:
            return
        self._called[call_id] = tool = item.tool_name or str(kind)
        if tool in self._clients:
            self._finished.add(call_id)  # what the client is asked, and gives, shows it
            self._has_text = False
            self._steps.note_shown(call_id)
            return
        self._turn.emit(ToolCall(tool, call_id, call_input(item.raw_item)))
        if kind in _HOSTED:
            self._send_result(call_id, tool, raw_field(item.raw_item, "output"))
        else:
            self._has_text = False
        self._steps.note_shown(call_id)
        if call_id in self._early:
            self._turn.emit(self._early.pop(call_id))

    def _send_result(self, call_id: str, tool: str, output: object) -> None:
        if call_id in self._finished or tool in self._clients or self._ending is not None:
            return
        self._finished.add(call_id)
        result = ToolResult(tool, call_id, bounded_json(output))
        if call_id in self._errors:
            result = ToolResult(tool, call_id, {"error": self._errors[call_id]}, status="error")
        if call_id in self._called:
            self._turn.emit(result)
        else:
            self._early[call_id] = result

    def _count(self, result: RunResultStreaming) -> None:
        self._count_usage(result.context_wrapper.usage)

    def _count_usage(self, usage: Any) -> None:
        """Add what is new: the sums hold nested agents, and go on after an approval."""
        seen = self.counted
        self.counted = Usage(usage.input_tokens, usage.output_tokens, usage.total_tokens)
        self._turn.add_usage(
            Usage(
                usage.input_tokens - seen.input_tokens,
                usage.output_tokens - seen.output_tokens,
                usage.total_tokens - seen.total_tokens,
            )
        )
