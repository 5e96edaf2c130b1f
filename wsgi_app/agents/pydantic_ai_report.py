"""What a run of Pydantic AI streams, as events of its turn."""

from __future__ import annotations

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
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    UsageLimitExceeded,
    UsageLimits,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import BaseToolReturnPart
from pydantic_core import to_jsonable_python

from wsgi_app.agents.pydantic_ai_steps import RunSteps
from wsgi_app.agents.pydantic_ai_translate import explain, step_limit
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.errors import TurnError
from wsgi_app.events import Thinking, ToolCall, ToolResult, encode_json


class Report:
    """Reports to a turn what its run does. Used by one task of the ``agents`` loop."""

    def __init__(self, turn: Turn, limits: UsageLimits, steps: RunSteps) -> None:
        self._turn = turn
        self._clients = {tool.name for tool in turn.client_tools}
        self._steps = steps
        #: Calls whose results the user has seen from another worker.
        self._shown = steps.shown_results()
        self._limits = limits
        self._open: set[str] = set()
        self._has_text = False

    async def follow(self, events: AgentRunEvents[Any]) -> None:
        """Report all that the run streams, to its end."""
        try:
            async for event in events:
                self.take(event)
        except Exception as error:
            failure = self._explain(error, events)
            if failure is None or failure is error:
                raise
            raise failure from error
        finally:
            self._count(events)

    def take(self, event: Any) -> None:
        """Tell the next event of the run."""
        match event:
            case PartStartEvent():
                self._take_part(event.part)
            case PartDeltaEvent():
                self._take_delta(event.delta)
            case PartEndEvent(part=NativeToolCallPart() as call):
                self._send_call(call.tool_name, call.tool_call_id, _input_of(call))
            case FunctionToolCallEvent(part=call) if call.tool_name in self._clients:
                self._has_text = False  # what the client is asked, and gives, shows it
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
        if call_id not in self._open and call_id not in self._shown:
            self._open.add(call_id)  # one that waited for its approval is shown a second time
            self._turn.emit(ToolCall(tool, call_id, arguments))
        self._steps.note_shown(call_id)

    def _send_result(self, part: BaseToolReturnPart[Any]) -> None:
        self._open.discard(part.tool_call_id)
        if part.tool_call_id in self._shown:
            self._shown.discard(part.tool_call_id)
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
