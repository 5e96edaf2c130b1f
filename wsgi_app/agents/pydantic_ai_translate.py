"""Between Pydantic AI's terms and the host's: messages and errors."""

from __future__ import annotations

from collections.abc import Sequence
from json import JSONDecodeError
from typing import Any

from pydantic_ai import (
    BinaryContent,
    ExternalToolset,
    FallbackExceptionGroup,
    ImageUrl,
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelRequestTimeout,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolReturnPart,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.exceptions import ContentFilterError

from wsgi_app.agents.upstream_errors import (
    filtered_answer,
    incomplete_answer,
    malformed_answer,
    reported_error,
    status_error,
)
from wsgi_app.attachments import Attachment
from wsgi_app.engine import Turn
from wsgi_app.errors import TurnError, UpstreamError


def client_toolsets(turn: Turn) -> list[ExternalToolset[Any]]:
    """The tools of the turn's client, whose calls are deferred to it."""
    tools = [
        ToolDefinition(
            name=tool.name,
            description=tool.description,
            parameters_json_schema=tool.parameters or {"type": "object", "properties": {}},
        )
        for tool in turn.client_tools
    ]
    return [ExternalToolset(tools)] if tools else []


def user_content(turn: Turn, message: str) -> str | list[UserContent]:
    """A message with what came with it."""
    if not turn.attachments:
        return message
    return [message, *map(_content, turn.attachments)]


def _content(attachment: Attachment) -> UserContent:
    if attachment.url:
        return ImageUrl(attachment.url)
    return BinaryContent(attachment.read(), media_type=attachment.media_type)


def message_history(history: Sequence[dict[str, Any]]) -> list[ModelMessage]:
    """Chat messages in Pydantic AI's form."""
    tools = {
        call["id"]: call["function"]["name"]
        for message in history
        for call in message.get("tool_calls") or ()
    }
    return [_message(message, tools) for message in history]


def _message(message: dict[str, Any], tools: dict[str, str]) -> ModelMessage:
    content = message.get("content")
    if message["role"] == "assistant":
        return ModelResponse(parts=_response_parts(message))
    part: ModelRequestPart = UserPromptPart(content or "")
    if message["role"] == "tool":
        call_id = message["tool_call_id"]
        part = ToolReturnPart(tools.get(call_id, "tool"), content, call_id)
    return ModelRequest(parts=[part])


def _response_parts(message: dict[str, Any]) -> list[ModelResponsePart]:
    parts: list[ModelResponsePart] = [
        ToolCallPart(call["function"]["name"], call["function"]["arguments"], call["id"])
        for call in message.get("tool_calls") or ()
    ]
    if message.get("content"):
        parts.insert(0, TextPart(message["content"]))
    return parts


def step_limit(limit: int) -> TurnError:
    """The error for a model that wants to be asked more often than it may."""
    return TurnError(
        f"The model needs more than {limit} steps.", {"max_steps": limit}, code="step_limit"
    )


def explain(error: BaseException) -> TurnError | None:
    """How a turn ends by an error of the run; None for what only the log should tell."""
    failure: TurnError | None
    match error:
        case TurnError():
            failure = error
        case FallbackExceptionGroup():
            failure = explain(error.exceptions[-1])
        case ModelHTTPError():
            failure = status_error(error.status_code, error.body)
        case ModelConnectionError(phase="read"):
            failure = incomplete_answer()
        case ModelConnectionError() | ModelRequestTimeout():
            failure = UpstreamError("The model provider does not answer.")
        case ModelAPIError():
            malformed = isinstance(error.__cause__, JSONDecodeError)
            failure = malformed_answer() if malformed else reported_error(error.body)
        case ContentFilterError():
            failure = filtered_answer()
        case UnexpectedModelBehavior():
            failure = UpstreamError("The model gave no answer that the agent can use.")
        case UsageLimitExceeded():
            failure = TurnError("The turn needs more than its usage limits allow.")
        case _:
            failure = None
    return failure
