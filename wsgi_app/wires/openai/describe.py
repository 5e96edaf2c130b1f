"""The OpenAI routes, and what they answer; the host sends these fields of OpenAI's alone."""

from __future__ import annotations

from typing import Final, Literal, Optional, Union

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
    Socket,
    answers,
)
from wsgi_app.web.parse import BatchMilliseconds
from wsgi_app.wires.openai.documents import (
    CompactionDocument,
    InputItems,
    ResponseDeleted,
    ResponseDocument,
    ResponseStreamEvent,
)
from wsgi_app.wires.openai.request.chat import ChatCompletionBody
from wsgi_app.wires.openai.request.compact import CompactBody
from wsgi_app.wires.openai.request.responses import (
    CreateFrame,
    ItemLimit,
    ResponseBody,
    SequenceNumber,
)

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


class ChatCitation(Struct):
    """Where a file stands that the agent has given, and the link to it in the text."""

    url: str
    title: str
    start_index: int
    end_index: int


class ChatAnnotation(Struct):
    """What points to a file."""

    type: Literal["url_citation"]
    url_citation: ChatCitation
    #: In chunks alone.
    index: Union[int, UnsetType] = UNSET


class ChatDelta(Struct):
    """What a chunk adds to the message."""

    role: Union[Literal["assistant"], UnsetType] = UNSET
    content: Union[str, UnsetType] = UNSET
    reasoning_content: Union[str, UnsetType] = UNSET
    annotations: Union[list[ChatAnnotation], UnsetType] = UNSET


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
    annotations: Union[list[ChatAnnotation], UnsetType] = UNSET


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


CHAT_EVENTS: Final = Events(data=(ChatCompletionChunk, OpenAIError), last="[DONE]")
RESPONSE_EVENTS: Final = Events(data=(ResponseStreamEvent,), last="[DONE]")
_GROUP: Final = "OpenAI"
_NO_PREVIOUS: Final = "previous_response_not_found"
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
    codes=(*BODY_CODES, *BEGIN_CODES, *TURN_CODES, "no_pending_input", "not_found", _NO_PREVIOUS),
)
SOCKET: Final = Operation(
    group=_GROUP,
    replies={101: Reply("The connection is a WebSocket now.")},
    # Without an upgrade the path has a POST alone.
    codes=("invalid_request", "not_found", "method_not_allowed", *READ_CODES),
    socket=Socket(client=CreateFrame, server=ResponseStreamEvent),
    description=(
        "The client sends what `x-websocket` calls `client`, the host sends `server`: the"
        " events of one response after the other."
    ),
)
COMPACT: Final = Operation(
    group=_GROUP,
    body=CompactBody,
    replies=answers(CompactionDocument),
    codes=(*BODY_CODES, *READ_CODES, "not_found", _NO_PREVIOUS),
)
INPUT_ITEMS: Final = Operation(
    group=_GROUP,
    query={"order": Literal["asc", "desc"], "limit": ItemLimit, "after": str},
    replies=answers(InputItems),
    codes=("invalid_request", "not_found", *READ_CODES),
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
