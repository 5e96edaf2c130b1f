"""MCP over HTTP: the package's transport, over a client that bounds what it reads.

That client also gives each request an answer of MCP, whatever HTTP makes of it: the package's
transport shows no status, and ends with the first request that finds no server.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Union

import httpx2
import msgspec
from mcp.client.streamable_http import MCP_SESSION_ID, streamable_http_client
from mcp_types import INTERNAL_ERROR

from wsgi_app.agents.mcp.endpoint import Wire
from wsgi_app.agents.mcp.faults import MAX_SHOWN_CHARS, Fault
from wsgi_app.agents.mcp.messages import Messages, too_large

#: For one connection to an HTTP server, and for sending to it.
HTTP_TIMEOUT_SECONDS: Final = 30.0
MAX_ERROR_BYTES: Final = 65_536
_HTTP_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_NOT_FOUND: Final = 404
#: What happens before a request is sent.
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_LENGTH_HEADERS: Final = frozenset({"content-length", "content-encoding", "transfer-encoding"})
#: Beyond a message's bound, for the other lines of its event.
_EVENT_MARGIN_BYTES: Final = 65_536
#: Later versions of the package bound an event of many lines; the first ones do not.
_BOUNDS_EVENTS: Final = "max_sse_event_size" in inspect.signature(streamable_http_client).parameters


class _Sent(msgspec.Struct):
    """What the client sends; a notification has no id."""

    id: Union[int, str, None] = None


@asynccontextmanager
async def open_http(url: str, headers: Mapping[str, str], wire: Wire) -> AsyncGenerator[Any, None]:
    """Connect to a server."""
    # Reading has no limit here: a call has its own, and the server's own messages may be rare.
    timeout = httpx2.Timeout(HTTP_TIMEOUT_SECONDS, read=None)
    options: dict[str, Any] = {}
    if _BOUNDS_EVENTS:
        options["max_sse_event_size"] = wire.max_message_bytes + _EVENT_MARGIN_BYTES
    async with (
        _Client(wire, headers=dict(headers), timeout=timeout) as client,
        streamable_http_client(url, http_client=client, **options) as streams,
    ):
        yield streams


class _Client(httpx2.AsyncClient):
    """Used on the ``agents`` loop alone."""

    def __init__(self, wire: Wire, **options: Any) -> None:
        super().__init__(**options)
        self._wire = wire

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; what has an id gets an answer of JSON-RPC, or a redirect."""
        sent = _sent_in(request)
        try:
            response = await super().send(request, **options)
        except httpx2.TransportError as error:
            if sent is None:
                raise
            was_sent = not isinstance(error, _NOT_SENT)
            text = f"{type(error).__name__}: {error}"
            return _failed(request, sent.id, Fault(0, text, True, was_sent))  # noqa: FBT003
        if MCP_SESSION_ID in response.headers:
            self._wire.is_stateful = True
        if sent is not None and sent.id is not None and response.status_code >= _HTTP_ERROR:
            return await _refused(request, sent.id, response)
        return self._bounded(request, sent, response)

    def _bounded(
        self, request: httpx2.Request, sent: _Sent | None, response: httpx2.Response
    ) -> httpx2.Response:
        kind = response.headers.get("content-type", "").lower()
        if kind.startswith("text/event-stream"):
            body = _events(response, self._wire)
        elif kind.startswith("application/json") and sent is not None:
            body = _json(response, self._wire, sent.id)
        else:
            return response
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in _LENGTH_HEADERS
        ]
        return httpx2.Response(
            response.status_code, headers=headers, stream=_Body(response, body), request=request
        )


class _Body(httpx2.AsyncByteStream):
    """A body made of another answer's, which is closed with it."""

    def __init__(self, response: httpx2.Response, pieces: AsyncGenerator[bytes, None]) -> None:
        self._response = response
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        """Close the other answer."""
        await self._pieces.aclose()
        await self._response.aclose()


async def _events(response: httpx2.Response, wire: Wire) -> AsyncGenerator[bytes, None]:
    messages = Messages(wire.server, wire.max_message_bytes)
    async for piece in response.aiter_bytes():
        lines = messages.feed(piece)
        if lines:
            yield b"".join(line + b"\n" for line in lines)


async def _json(
    response: httpx2.Response, wire: Wire, request_id: int | str | None
) -> AsyncGenerator[bytes, None]:
    pieces, size = [], 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > wire.max_message_bytes:
            yield too_large(request_id, None, wire.max_message_bytes)
            return
        pieces.append(piece)
    yield b"".join(pieces)


async def _refused(
    request: httpx2.Request, request_id: int | str, response: httpx2.Response
) -> httpx2.Response:
    """Make an error of an answer that is none; an error of the server's own stays as it is."""
    body = b""
    try:
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MAX_ERROR_BYTES:
                break
    except httpx2.HTTPError:
        pass  # the status says enough
    finally:
        await response.aclose()
    status, text = response.status_code, body.decode("utf-8", "replace")
    has_session = MCP_SESSION_ID in request.headers
    forgotten = status == _NOT_FOUND or (
        status == _HTTP_ERROR and "session" in text.lower()  # as servers of the TypeScript SDK say
    )
    fault = Fault(
        status, text[:MAX_SHOWN_CHARS], has_session and forgotten, status >= _SERVER_ERROR
    )
    return _failed(request, request_id, fault, _error_in(body))


def _failed(
    request: httpx2.Request,
    request_id: int | str | None,
    fault: Fault,
    own: dict[str, Any] | None = None,
) -> httpx2.Response:
    """Make the answer to a request that failed; ``own`` is the server's error of JSON-RPC."""
    if request_id is None:
        return httpx2.Response(202, request=request)  # nobody waits to hear of a notification
    error = own or {"code": INTERNAL_ERROR, "message": fault.reason}
    data = error.get("data") or {}
    if isinstance(data, dict):
        error["data"] = {**data, **fault.as_data()}
    body = {"jsonrpc": "2.0", "id": request_id, "error": error}
    return httpx2.Response(200, json=body, request=request)


def _error_in(body: bytes) -> dict[str, Any] | None:
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    is_error = (
        isinstance(error, dict)
        and isinstance(error.get("code"), int)
        and isinstance(error.get("message"), str)
    )
    return error if is_error else None


def _sent_in(request: httpx2.Request) -> _Sent | None:
    """The message in a request; None for one without."""
    if request.method != "POST":
        return None
    try:
        return msgspec.json.decode(request.content, type=_Sent)
    except msgspec.MsgspecError:
        return None
