"""The OpenAI routes, and what they answer; the host sends these fields of OpenAI's alone."""

from __future__ import annotations

from typing import Any, Final, Literal, Optional, Union

from msgspec import UNSET, Struct, UnsetType

from wsgi_app.web.operation import (
    BEGIN_CODES,
    BODY_CODES,
    JSON,
    READ_CODES,
    STORE_CODES,
    TURN_CODES,
    Content,
    Events,
    Header,
    Operation,
    Reply,
    answers,
)
from wsgi_app.web.parse import BatchMilliseconds
from wsgi_app.wires.openai.request.chat import ChatCompletionBody
from wsgi_app.wires.openai.request.responses import ResponseBody, SequenceNumber

_HEADERS: Final = ("X-Session-Id", "X-Turn-Id")
_RETRIES: Final = (
    "Idempotency-Key",
    Header(
        "X-Stainless-Retry-Count",
        "OpenAI's SDKs count their tries in it.",
        {"type": "integer", "minimum": 0},
    ),
)


class OpenAIErrorObject(Struct):
    """Why; ``code`` is one of the host's own."""

    message: str
    type: str
    param: Optional[str]
    code: str


class OpenAIError(Struct):
    """An error as OpenAI's SDKs read it."""

    error: OpenAIErrorObject


class Model(Struct):
    """The agent, as a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Struct):
    """All models that there are: one."""

    object: Literal["list"]
    data: list[Model]


FinishReason = Literal["stop", "length", "content_filter"]


class ChatUsage(Struct):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatDelta(Struct):
    """What a chunk adds to the message."""

    role: Union[Literal["assistant"], UnsetType] = UNSET
    content: Union[str, UnsetType] = UNSET
    reasoning_content: Union[str, UnsetType] = UNSET


class ChunkChoice(Struct):
    """The one choice of a chunk."""

    index: int
    delta: ChatDelta
    finish_reason: Optional[FinishReason]


class ChatCompletionChunk(Struct):
    """A piece of a streamed completion."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Union[ChatUsage, UnsetType] = UNSET


class AssistantMessage(Struct):
    """The whole answer."""

    role: Literal["assistant"]
    content: str
    reasoning_content: Union[str, UnsetType] = UNSET


class ChatChoice(Struct):
    """The one choice."""

    index: int
    message: AssistantMessage
    finish_reason: Optional[FinishReason]


class ChatCompletion(Struct):
    """A completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Union[ChatUsage, UnsetType] = UNSET


ItemStatus = Literal["in_progress", "completed", "incomplete", "failed"]


class OutputText(Struct):
    """A message's text."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class SummaryText(Struct):
    """A piece of reasoning."""

    type: Literal["summary_text"]
    text: str


class MessageItem(Struct, tag="message"):
    """What the agent says."""

    id: str
    role: Literal["assistant"]
    status: ItemStatus
    content: list[OutputText]


class ReasoningItem(Struct, tag="reasoning"):
    """What the agent thinks."""

    id: str
    status: ItemStatus
    summary: list[SummaryText]


class HostCallItem(Struct, tag="mcp_call"):
    """A tool that the host has run."""

    id: str
    server_label: str
    name: str
    arguments: str
    status: ItemStatus
    output: Union[str, UnsetType] = UNSET
    error: Union[dict[str, Any], UnsetType] = UNSET


class QuestionItem(Struct, tag="function_call"):
    """A question, for the client to answer."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


OutputItem = Union[MessageItem, ReasoningItem, HostCallItem, QuestionItem]


class ResponseUsage(Struct):
    """Token counts."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseDocument(Struct):
    """A response."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    background: bool
    error: Optional[dict[str, str]]
    incomplete_details: Optional[dict[str, str]]
    instructions: None
    metadata: dict[str, Any]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    temperature: None
    tool_choice: str
    tools: list[Any]
    top_p: None
    usage: Union[ResponseUsage, UnsetType] = UNSET


class ResponseStreamEvent(Struct):
    """One event of a response's stream; which fields it has follows from its type."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    ]
    sequence_number: int
    response: Union[ResponseDocument, UnsetType] = UNSET
    output_index: Union[int, UnsetType] = UNSET
    item: Union[OutputItem, UnsetType] = UNSET
    item_id: Union[str, UnsetType] = UNSET
    content_index: Union[int, UnsetType] = UNSET
    summary_index: Union[int, UnsetType] = UNSET
    part: Union[dict[str, Any], UnsetType] = UNSET
    text: Union[str, UnsetType] = UNSET
    delta: Union[str, UnsetType] = UNSET
    logprobs: Union[list[Any], UnsetType] = UNSET
    arguments: Union[str, UnsetType] = UNSET
    name: Union[str, UnsetType] = UNSET


class ResponseDeleted(Struct):
    """The conversation is forgotten."""

    id: str
    object: Literal["response"]
    deleted: bool


CHAT_EVENTS: Final = Events(data=(ChatCompletionChunk, OpenAIError), last="[DONE]")
RESPONSE_EVENTS: Final = Events(data=(ResponseStreamEvent,))
_GROUP: Final = "OpenAI"
_WHOLE_OR_STREAM: Final = "Whole, or with `stream` its events."

MODELS: Final = Operation(group=_GROUP, replies=answers(ModelList))
MODEL: Final = Operation(group=_GROUP, replies=answers(Model), codes=("not_found",))
CHAT: Final = Operation(
    group=_GROUP,
    body=ChatCompletionBody,
    query={"batch_ms": BatchMilliseconds},
    headers=_RETRIES,
    replies={200: Reply(_WHOLE_OR_STREAM, (Content(JSON, ChatCompletion), CHAT_EVENTS), _HEADERS)},
    codes=(*BODY_CODES, *BEGIN_CODES, *TURN_CODES, "not_found"),
)
RESPONSES: Final = Operation(
    group=_GROUP,
    body=ResponseBody,
    query={"batch_ms": BatchMilliseconds},
    headers=_RETRIES,
    replies={
        200: Reply(_WHOLE_OR_STREAM, (Content(JSON, ResponseDocument), RESPONSE_EVENTS), _HEADERS)
    },
    codes=(*BODY_CODES, *BEGIN_CODES, *TURN_CODES, "no_pending_input", "not_found"),
)
RESPONSE: Final = Operation(
    group=_GROUP,
    query={
        "stream": Literal["true", "false"],
        "starting_after": SequenceNumber,
        "batch_ms": BatchMilliseconds,
    },
    replies={200: Reply(_WHOLE_OR_STREAM, (Content(JSON, ResponseDocument), RESPONSE_EVENTS))},
    codes=("invalid_request", "not_found", *READ_CODES),
)
CANCEL: Final = Operation(
    group=_GROUP,
    replies=answers(ResponseDocument),
    codes=("invalid_request", "invalid_json", "too_large", "not_found", *STORE_CODES),
)
DELETE: Final = Operation(
    group=_GROUP,
    replies=answers(ResponseDeleted),
    codes=("invalid_request", "not_found", *STORE_CODES),
)
