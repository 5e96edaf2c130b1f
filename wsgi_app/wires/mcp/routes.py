"""The routes for MCP clients: the streamable HTTP transport, without a state of its own."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, g, request
from msgspec import UNSET

from wsgi_app.auth import check_origin, check_rebinding
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.events import encode_json
from wsgi_app.frames import sse
from wsgi_app.web.access import demand
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.envelope import Envelope, error_headers, error_status, json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import idempotency_key, invalid, parse_body
from wsgi_app.web.refuse import count_refused
from wsgi_app.web.respond import STREAM_HEADERS, stream_response
from wsgi_app.web.route import CHAT, READ, Route, Wire
from wsgi_app.web.turns import attach_turn
from wsgi_app.wires.mcp import describe
from wsgi_app.wires.mcp.calls import (
    Client,
    call_tool,
    check_known,
    make_encoder,
    server_info,
    stop_at_questions,
)
from wsgi_app.wires.mcp.encode import (
    RETRY_MILLISECONDS,
    JsonObject,
    complete,
    error_response,
    response,
    tool_document,
)
from wsgi_app.wires.mcp.envelope import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_ERROR,
    VERSION_HEADER,
    RpcError,
    check_stateless,
    check_version,
    is_stateless,
)
from wsgi_app.wires.mcp.forms import answer_of
from wsgi_app.wires.mcp.request import (
    HANDSHAKE_VERSIONS,
    PRIMING_VERSION,
    STATELESS_VERSION,
    TOOL,
    ClientSession,
    Message,
    QuestionName,
    StreamPosition,
    elicits,
)

INSTRUCTIONS: Final = (
    f"The tool `{TOOL}` asks the agent of this site. Its results name the conversation's `session`:"
    " pass that on to continue it."
)
#: How long a client may keep the list of tools.
TTL_MILLISECONDS: Final = 60_000
_CAPABILITIES: Final[JsonObject] = {"tools": {}}
_SESSION_HEADER: Final = "Mcp-Session-Id"
_CODES: Final = {
    "invalid_json": PARSE_ERROR,
    "invalid_request": INVALID_REQUEST,
    "not_found": METHOD_NOT_FOUND,
}
#: Refusals of a reader that pass: it comes back after them.
_PASSING: Final = ("draining", "at_capacity", "store_unavailable", "too_many_readers")


def mcp_error(error: AgentHostError) -> Response:
    """Refuse as JSON-RPC does."""
    data = {"code": error.code, "details": error.details}
    code = _CODES.get(error.code, SERVER_ERROR)
    body = error_response(g.get("wsgi_app_mcp_id"), code, error.message, data)
    return json_response(body, error_status(error), error_headers(error))


def post_mcp(mount: Mount) -> Response:
    """POST /mcp: take one message of the client's."""
    _check_page(mount)
    message = parse_body(request, Message, mount.settings.max_body_bytes)
    idempotency_key(request)  # a bad one is refused whatever is asked
    try:
        if message.method is UNSET:
            return _take_answer(mount, message)
        if message.id is UNSET:
            return _take_notification(mount, message)
        g.wsgi_app_mcp_id = message.id
        if is_stateless(message, request.headers.get):
            return _answer_stateless(mount, message)
        return _answer(mount, message)
    except RpcError as error:
        body = error_response(g.get("wsgi_app_mcp_id"), error.code, error.message, error.data)
        return json_response(body, error.status)


def _check_page(mount: Mount) -> None:
    """Refuse pages of other origins, as the protocol asks of each server."""
    check_origin(request, mount.settings.cors_origins)
    check_rebinding(request, mount.settings.local_hosts)


def _answer(mount: Mount, message: Message) -> Response:
    if message.method == "initialize":
        return _initialize(mount, message)
    session = _client_session()
    if message.method == "tools/call":
        version = request.headers.get(VERSION_HEADER, "")
        primes = version in HANDSHAKE_VERSIONS and version >= PRIMING_VERSION
        can = session is not None and session.elicits
        return call_tool(mount, message, Client(can, primes=primes, session=session))
    results: dict[str, JsonObject] = {"ping": {}, "tools/list": _tools(mount)}
    result = results.get(str(message.method))
    if result is None:
        # Not 404, which says that the session is gone.
        raise RpcError(METHOD_NOT_FOUND, "There is no such method.", 200)
    return json_response(response(message.id, result))


def _initialize(mount: Mount, message: Message) -> Response:
    params = message.params or {}
    wanted = params.get("protocolVersion")
    session = ClientSession.new(elicits=elicits(params.get("capabilities")))
    result = {
        "protocolVersion": wanted if wanted in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1],
        "capabilities": _CAPABILITIES,
        "serverInfo": server_info(mount),
        "instructions": INSTRUCTIONS,
    }
    return json_response(response(message.id, result), headers={_SESSION_HEADER: session.text})


def _answer_stateless(mount: Mount, message: Message) -> Response:
    capabilities = check_stateless(message, request.headers.get)
    if message.method == "tools/call":
        return call_tool(mount, message, Client(elicits(capabilities), stateless=True))
    kept = {"ttlMs": TTL_MILLISECONDS, "cacheScope": "private"}
    about = {
        "supportedVersions": [STATELESS_VERSION],
        "capabilities": _CAPABILITIES,
        "instructions": INSTRUCTIONS,
    }
    results = {"server/discover": about, "tools/list": _tools(mount)}
    result = results.get(str(message.method))
    if result is None:
        raise RpcError(METHOD_NOT_FOUND, "There is no such method.", 404)
    whole = complete({**result, **kept}, server_info(mount), stateless=True)
    return json_response(response(message.id, whole))


def _tools(mount: Mount) -> JsonObject:
    return {"tools": [tool_document(mount.settings.max_message_chars)]}


def _client_session() -> ClientSession | None:
    text = request.headers.get(_SESSION_HEADER)
    try:
        return None if text is None else ClientSession.parse(text)
    except ValueError:
        raise RequestError("not_found", "There is no such session; initialize again.") from None


# -- what needs no answer


def _take_notification(mount: Mount, message: Message) -> Response:
    if is_stateless(message, request.headers.get):
        check_version(request.headers.get(VERSION_HEADER))
    elif message.method == "notifications/cancelled":
        _cancel(mount, (message.params or {}).get("requestId"))
    return Response(status=202)


def _cancel(mount: Mount, request_id: Any) -> None:
    """End the turn of a call, on whichever worker it runs."""
    session = _client_session()
    if session is None or type(request_id) not in (int, str):
        return
    demand("cancel")
    named = mount.store.named_turn(current_principal().tenant, session.call_name(request_id))
    if named is not None:
        mount.cancel(*named)


def _take_answer(mount: Mount, message: Message) -> Response:
    """Give the agent what a client's user has answered to its question."""
    try:
        name = QuestionName.parse(message.id)
    except ValueError:
        raise RpcError(INVALID_REQUEST, "This answers no request of this server.") from None
    value = encode_json(answer_of(name.kind, message.result))
    try:
        mount.store.post_input(session_key(name.session_id), name.request_id, value)
    except RequestError as error:
        if error.code != "no_pending_input":
            raise
        # Too late, or said twice: nobody waits for the refusal of an answer.
    return Response(status=202)


# -- a stream that was cut


def get_mcp(mount: Mount) -> Response:
    """GET /mcp: continue the stream of a call, behind the event that the client has seen."""
    _check_page(mount)
    text = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    if not text:
        # The stream of a server that speaks first; this one never does.
        message = "There is no stream but those of calls."
        raise RequestError("method_not_allowed", message, headers={"Allow": "POST"})
    try:
        position = StreamPosition.parse(text)
    except ValueError as error:
        raise invalid("last_event_id", str(error)) from None
    try:
        return _resume(mount, position)
    except RequestError as error:
        if error.code not in _PASSING:
            raise
        count_refused(error.code)
        block = sse.frame(b"", event_id=text, retry_milliseconds=RETRY_MILLISECONDS)
        return Response(sse.OPENING + block, headers=STREAM_HEADERS)


def _resume(mount: Mount, position: StreamPosition) -> Response:
    key = session_key(position.session_id)
    check_known(mount, key, position.turn)
    with attach_turn(mount, key, position.turn, position.seq, mark=position.mark) as turn:
        encoder = make_encoder(mount, position)
        return stream_response(turn, stop_at_questions(mount, turn, encoder, position), 0.0)


ERRORS: Final = Envelope(mcp_error, describe.McpError, ("error", "data"))
WIRE: Final = Wire(
    "mcp",
    (
        Route("POST", "/mcp", post_mcp, CHAT, describe.POST, errors=ERRORS),
        Route("GET", "/mcp", get_mcp, READ, describe.GET, errors=ERRORS),
    ),
    root="/mcp",
    errors=ERRORS,
)
