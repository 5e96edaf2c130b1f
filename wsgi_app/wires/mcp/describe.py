"""The routes for MCP clients, and what they answer."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Union

from msgspec import UNSET, Meta, Struct, UnsetType

from wsgi_app.web.operation import (
    BODY_CODES,
    JSON,
    READ_CODES,
    Content,
    Events,
    Header,
    Operation,
    Reply,
)
from wsgi_app.wires.mcp.request import MAX_POSITION_CHARS, Message, Name

Position = Annotated[str, Meta(max_length=MAX_POSITION_CHARS)]


class McpErrorData(Struct):
    """The host's own word on it."""

    code: str
    details: dict[str, Any]


class McpErrorObject(Struct):
    """Why."""

    code: int
    message: str
    data: Union[McpErrorData, Any, UnsetType] = UNSET


class McpError(Struct):
    """A request was refused."""

    jsonrpc: Literal["2.0"]
    error: McpErrorObject
    id: Union[Name, UnsetType] = UNSET


class McpResponse(Struct):
    """A request's answer."""

    jsonrpc: Literal["2.0"]
    id: Union[Name, UnsetType] = UNSET
    result: Union[dict[str, Any], UnsetType] = UNSET
    error: Union[McpErrorObject, UnsetType] = UNSET


class McpFrame(Struct):
    """Progress, a question, or at last the answer."""

    jsonrpc: Literal["2.0"]
    id: Union[Name, UnsetType] = UNSET
    method: Union[
        Literal["notifications/progress", "elicitation/create"],
        UnsetType,
    ] = UNSET
    params: Union[dict[str, Any], UnsetType] = UNSET
    result: Union[dict[str, Any], UnsetType] = UNSET


def _text(name: str, description: str) -> Header:
    return Header(name, description, {"type": "string"})


_SESSION: Final = _text("Mcp-Session-Id", "Names the client's connection, as `initialize` did.")
_VERSION: Final = _text("MCP-Protocol-Version", "The version of the protocol.")
_FRAMES: Final = Events(data=(McpFrame,))
_GROUP: Final = "MCP"

POST: Final = Operation(
    group=_GROUP,
    body=Message,
    headers=(
        _SESSION,
        _VERSION,
        _text("Mcp-Method", "The body's method, from version 2026-07-28 on."),
        _text("Mcp-Name", "The tool's name, from version 2026-07-28 on."),
        "Idempotency-Key",
    ),
    replies={
        200: Reply(
            "The answer, or the stream that ends with it.",
            (Content(JSON, McpResponse), _FRAMES),
        ),
        202: Reply("The notification, or the answer to a question, was taken."),
        404: Reply("There is no such method, or session.", (Content(JSON, McpError),)),
    },
    codes=(*BODY_CODES, "not_found", "store_unavailable"),
)
GET: Final = Operation(
    group=_GROUP,
    query={"last_event_id": Position},
    headers=("Last-Event-ID", _VERSION),
    replies={200: Reply("The rest of a call's stream.", (_FRAMES,), ("X-Session-Id", "X-Turn-Id"))},
    codes=(*READ_CODES, "invalid_request", "not_found", "method_not_allowed"),
)
