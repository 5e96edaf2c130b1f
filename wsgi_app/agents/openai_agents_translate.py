"""Between the terms of the OpenAI Agents SDK and the host's: messages, calls, errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from json import JSONDecodeError
from typing import Any, Final, Literal, cast

import openai
from agents import (
    Agent,
    FunctionTool,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelRefusalError,
    ModelTimeoutError,
    OutputGuardrailTripwireTriggered,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
    TResponseInputItem,
)
from agents.models.fake_id import FAKE_RESPONSES_ID
from agents.tool_context import ToolContext

from wsgi_app.agents.answer_end import LENGTH, end_reason
from wsgi_app.agents.client_calls import ClientCalls
from wsgi_app.agents.content_parts import responses_content
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.agents.upstream_errors import (
    cut_answer,
    filtered_answer,
    from_openai,
    incomplete_answer,
    malformed_answer,
    reported_error,
)
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.history import as_text
from wsgi_app.engine.turn.valid_messages import fold_system, parse_object, valid_id
from wsgi_app.errors import TurnError, UpstreamError
from wsgi_app.events import ClientTool, RequestedCall

#: What a run's model is doing.
ModelState = Literal["idle", "asked", "answering"]

#: How the SDK reports the end of a response.
_INCOMPLETE: Final = re.compile(r"response\.incomplete.*reason='(\w+)'")
_CODE: Final = re.compile(r"code='(\w+)'")
#: The HTTP libraries below a model, whose errors the SDK lets pass.
_TRANSPORTS: Final = ("aiohttp", "httpcore", "httpcore2", "httpx", "httpx2")
#: Of a call that the provider ran: what is no input.
_NO_INPUT: Final = frozenset(
    {"id", "call_id", "type", "status", "output", "outputs", "result", "results"}
)


def input_items(turn: Turn) -> list[TResponseInputItem]:
    """The history and the message as Responses API items, which the SDK takes for any model."""
    history, message = fold_system(turn.history, turn.message)
    messages = [*history, {"role": "user", "content": responses_content(turn, message)}]
    items = [item for message in messages for item in items_of(message)]
    return cast("list[TResponseInputItem]", items)


def with_client_tools(agent: Agent[Any], turn: Turn) -> Agent[Any]:
    """The agent with the tools of the turn's client beside its own."""
    if not turn.client_tools:
        return agent
    calls = ClientCalls(turn)
    tools = [_client_tool(tool, calls) for tool in turn.client_tools]
    return agent.clone(tools=[*agent.tools, *tools])


def _client_tool(tool: ClientTool, calls: ClientCalls) -> FunctionTool:
    async def invoke(context: ToolContext[Any], arguments: str) -> str:
        given = parse_object(arguments or "{}") or {}
        result = await calls.call(RequestedCall(context.tool_call_id, tool.name, given))
        return as_text(result.output)

    parameters = tool.parameters or {"type": "object", "properties": {}}
    return FunctionTool(tool.name, tool.description, parameters, invoke, strict_json_schema=False)


def message_of(turn: Turn) -> str | list[TResponseInputItem]:
    """The message alone, for a session of the SDK's own."""
    if not turn.attachments:
        return turn.message
    item = {"type": "message", "role": "user", "content": responses_content(turn)}
    return cast("list[TResponseInputItem]", [item])


def items_of(message: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """An earlier message as Responses API items."""
    if message["role"] == "tool":
        answered = {"call_id": _earlier(message["tool_call_id"]), "output": message["content"]}
        return [{"type": "function_call_output", **answered}]
    items = [
        {"type": "function_call", "call_id": _earlier(call["id"]), **call["function"]}
        for call in message.get("tool_calls") or ()
    ]
    if message.get("content"):
        items.insert(0, _text_item(message))
    return items


def _earlier(call_id: str) -> str:
    """An id that no call of this turn has: of two calls with one id the SDK drops the result."""
    return valid_id(f"earlier_{call_id}")


def _text_item(message: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "message", "role": message["role"], "content": message["content"]}
    if message["role"] != "assistant":
        return text
    # The one form which llama.cpp's server takes, and which the SDK joins with the calls behind it
    # for the chat API.
    content = [{"type": "output_text", "text": message["content"], "annotations": []}]
    return {**text, "id": FAKE_RESPONSES_ID, "content": content}


def raw_field(raw_item: Any, name: str) -> Any:
    """A field of what the model sent, which is an object or a dict; None if it has no such."""
    return raw_item.get(name) if isinstance(raw_item, dict) else getattr(raw_item, name, None)


def call_input(raw_item: Any) -> dict[str, Any]:
    """A call's arguments; of a call without, what describes it."""
    arguments = raw_field(raw_item, "arguments")
    if isinstance(arguments, str):
        return parse_object(arguments) or {}
    fields = bounded_json(raw_item)
    if not isinstance(fields, dict):
        return {}
    return {
        name: value for name, value in fields.items() if name not in _NO_INPUT and value is not None
    }


def explain(error: Exception, max_turns: int) -> TurnError | None:
    """How a turn ends by an error of the run; None for what only the log should tell."""
    match error:
        case MaxTurnsExceeded():
            text = f"The model needs more than {max_turns} steps."
            failure = TurnError(text, {"max_steps": max_turns}, code="step_limit")
        case InputGuardrailTripwireTriggered() | OutputGuardrailTripwireTriggered():
            failure = _stopped_by(error.guardrail_result.guardrail.get_name())
        case ToolInputGuardrailTripwireTriggered() | ToolOutputGuardrailTripwireTriggered():
            failure = _stopped_by(error.guardrail.get_name())
        case openai.OpenAIError():
            failure = from_openai(error)
        case ModelBehaviorError():
            failure = UpstreamError("The model gave no answer that the agent can use.")
        case ModelRefusalError():
            failure = TurnError("The model refused to answer.")
        case ModelTimeoutError():
            failure = UpstreamError("The model provider does not answer.")
        case _:
            return error.__cause__ if isinstance(error.__cause__, TurnError) else None
    return failure


def explain_model_failure(error: Exception, state: ModelState) -> UpstreamError | None:
    """The error for what was raised while a model was asked, if that is what it means."""
    if isinstance(error, ModelBehaviorError) and state == "answering":
        return _of_behavior(str(error))
    if state == "idle" or isinstance(error, openai.APIStatusError):
        return None
    library = type(error).__module__.partition(".")[0]
    if isinstance(error, openai.APIConnectionError) or library in _TRANSPORTS:
        return incomplete_answer() if state == "answering" else None
    if isinstance(error, openai.APIError):
        return reported_error(error.body, error.code)
    return malformed_answer() if isinstance(error, JSONDecodeError) else None


def _of_behavior(text: str) -> UpstreamError | None:
    """What the SDK says in words alone: how an answer of the model's ended; None for all else."""
    incomplete = _INCOMPLETE.search(text)
    if incomplete is not None:
        try:
            reason = end_reason(incomplete[1])
        except UpstreamError as error:
            return error
        return cut_answer() if reason == LENGTH else filtered_answer()
    if "finish_reason='length'" in text:
        return cut_answer()
    if "response.failed" in text or "response.error" in text:
        code = _CODE.search(text)
        return reported_error({"code": code[1] if code else None})
    ended = "final response" in text or "finish_reason" in text or "ended without" in text
    return incomplete_answer() if ended else None


def _stopped_by(guardrail: str) -> TurnError:
    return TurnError(f"The guardrail {guardrail} stopped the turn.", {"guardrail": guardrail})
