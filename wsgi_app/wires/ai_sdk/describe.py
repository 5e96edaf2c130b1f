"""The routes for the AI SDK, and the chunks of its stream."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Union

from msgspec import UNSET, Meta, Struct, UnsetType

from wsgi_app.events import Usage
from wsgi_app.web.operation import (
    BEGIN_CODES,
    BODY_CODES,
    READ_CODES,
    STORE_CODES,
    Events,
    Header,
    Operation,
    Reply,
    Socket,
    answers,
)
from wsgi_app.web.parse import BatchMilliseconds
from wsgi_app.wires.ai_sdk.request import AiSdkChatBody, Frame
from wsgi_app.wires.shared.describe import union


class StatusData(Struct):
    """A line for people about what happens."""

    content: str


class GapData(Struct):
    """What is no longer kept."""

    missed_after: str
    resumes_at: str


class SteeredData(Struct):
    """What the user has said to the running turn."""

    id: str
    content: str
    status: Literal["waiting", "taken"]


class SocketFrame(Struct):
    """What the host sends over the WebSocket, see `WebSocketChatTransport` of ``ai`` 7."""

    type: Literal["start", "chunk", "end", "error", "no-active"]
    requestId: str  # noqa: N815 - the protocol's
    sequence: Union[int, UnsetType] = UNSET
    chunk: Union[dict[str, Any], UnsetType] = UNSET
    errorText: Union[str, UnsetType] = UNSET  # noqa: N815 - the same


class StopAnswer(Struct):
    """Whether there was a turn to end."""

    success: bool
    cancelled: bool


_ID: Final = {"id": str}
_DELTA: Final = {"id": str, "delta": str}
_CALL: Final = {"toolCallId": str, "dynamic": bool}
#: The fields of each type of chunk.
CHUNKS: Final[dict[str, dict[str, Any]]] = {
    "start": {"messageId": str},
    "start-step": {},
    "finish-step": {},
    "text-start": _ID,
    "text-delta": _DELTA,
    "text-end": _ID,
    "reasoning-start": _ID,
    "reasoning-delta": _DELTA,
    "reasoning-end": _ID,
    "tool-input-available": {**_CALL, "toolName": str, "input": dict[str, Any]},
    "tool-output-available": {**_CALL, "output": Any},
    "tool-output-error": {**_CALL, "errorText": str},
    "tool-approval-request": {
        "approvalId": str,
        "toolCallId": str,
        "reason": Union[str, UnsetType],
    },
    "data-status": {"data": StatusData, "transient": bool},
    "data-gap": {"data": GapData, "transient": bool},
    "data-usage": {"data": Usage, "transient": bool},
    "data-steered": {"data": SteeredData, "transient": bool},
    "file": {"url": str, "mediaType": str},
    "finish": {"finishReason": Literal["stop", "tool-calls"]},
    "abort": {"reason": str},
    "error": {"errorText": str},
}


CHUNK_EVENTS: Final = Events(data=(union("AiSdk", CHUNKS),), last="[DONE]")
_STREAM: Final = Reply(
    "A UI message stream.",
    (CHUNK_EVENTS,),
    (
        "X-Session-Id",
        "X-Turn-Id",
        Header("x-vercel-ai-ui-message-stream", "The version.", {"const": "v1"}),
    ),
)
Version = Annotated[str, Meta(description="Of `ai`; `5` knows no approvals.")]
_QUERY: Final = {"batch_ms": BatchMilliseconds, "version": Version}
_GROUP: Final = "AI SDK"

CHAT: Final = Operation(
    group=_GROUP,
    body=AiSdkChatBody,
    query=_QUERY,
    replies={200: _STREAM},
    codes=(*BODY_CODES, *BEGIN_CODES, "no_pending_input"),
)
STREAM: Final = Operation(
    group=_GROUP,
    query=_QUERY,
    replies={200: _STREAM, 204: Reply("No turn runs.")},
    codes=("invalid_request", *READ_CODES),
)
STOP: Final = Operation(
    group=_GROUP,
    replies=answers(StopAnswer),
    codes=("invalid_request", "invalid_json", "too_large", *STORE_CODES),
)
SOCKET: Final = Operation(
    group=_GROUP,
    replies={101: Reply("The connection is a WebSocket now.")},
    codes=("invalid_request", "not_found", *READ_CODES),
    socket=Socket(client=Frame, server=SocketFrame),
)
