"""Routes for front ends of the AI SDK: ``useChat`` with its default transport."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.store.base import SessionKey
from wsgi_app.web.body import read_body
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import Envelope, error_headers, error_status, json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import batch_seconds, check_session_id, invalid, parse_body
from wsgi_app.web.route import CANCEL, CHAT, READ, Route, Wire
from wsgi_app.web.turns import attach_turn, open_turn
from wsgi_app.wires.ai_sdk import describe
from wsgi_app.wires.ai_sdk.request import (
    AiSdkChatBody,
    Continuation,
    read_request,
)
from wsgi_app.wires.ai_sdk.socket import ai_sdk_socket
from wsgi_app.wires.ai_sdk.stream import stream_turn
from wsgi_app.wires.ai_sdk.turns import explained, find_answer, turn_request


def text_error(error: AgentHostError) -> Response:
    """Answer with the message alone: ``useChat`` makes the body its error's text."""
    response = Response(error.message, error_status(error), error_headers(error))
    response.content_type = "text/plain; charset=utf-8"
    response.headers["Cache-Control"] = "no-store"
    return response


def post_ai_sdk_chat(mount: Mount) -> Response:
    """POST /ai-sdk/chat: answer the user's message, or continue the answered question."""
    body = parse_body(request, AiSdkChatBody, mount.settings.max_body_bytes)
    key = session_key(check_session_id(body.id))
    seconds = batch_seconds(request)  # a bad one is refused before there is a turn
    try:
        wanted = read_request(body)
    except ValueError as error:
        raise invalid("messages", str(error)) from None
    if isinstance(wanted, Continuation):
        return _continue(mount, key, wanted, seconds)
    return _answer(mount, key, turn_request(mount, key, wanted, body), seconds)


def get_ai_sdk_stream(mount: Mount, session_id: str) -> Response:
    """GET /ai-sdk/chat/<session_id>/stream: the whole running turn, then live; 204 if none runs."""
    key = session_key(check_session_id(session_id))
    seconds = batch_seconds(request)
    mount.check_draining()
    view = mount.store.state_of(key)
    if view is None or not view.active_turns:
        return Response(status=204)
    with attach_turn(mount, key, view.active_turns[0]) as turn:
        return stream_turn(turn, seconds)


def post_ai_sdk_stop(mount: Mount, session_id: str) -> Response:
    """POST /ai-sdk/chat/<session_id>/stop: end what runs; ``stop()`` alone reaches nobody."""
    key = session_key(check_session_id(session_id))
    read_body(request, mount.settings.max_body_bytes)  # what it says is known here
    stopped = mount.cancel(key, None)
    return json_response({"success": True, "cancelled": bool(stopped)})


def _answer(mount: Mount, key: SessionKey, wanted: TurnRequest, batch_seconds: float) -> Response:
    try:
        opened = open_turn(mount, key, wanted)
    except RequestError as error:
        raise explained(mount, key, error) from None
    with opened as turn:
        return stream_turn(turn, batch_seconds)


def _continue(
    mount: Mount, key: SessionKey, wanted: Continuation, batch_seconds: float
) -> Response:
    """Answer the question that waits, and stream what follows it.

    An answer that was given before leads to the same stream.
    """
    mount.check_draining()
    turn, answer = find_answer(mount, key, wanted)
    with attach_turn(mount, key, turn) as opened:
        return stream_turn(opened, batch_seconds, answer)


ERRORS: Final = Envelope(text_error, None)
_CHAT: Final = "/ai-sdk/chat"
WIRE: Final = Wire(
    "ai_sdk",
    (
        Route("POST", _CHAT, post_ai_sdk_chat, CHAT, describe.CHAT, errors=ERRORS),
        Route(
            "GET",
            f"{_CHAT}/<session_id>/stream",
            get_ai_sdk_stream,
            READ,
            describe.STREAM,
            errors=ERRORS,
        ),
        Route(
            "POST",
            f"{_CHAT}/<session_id>/stop",
            post_ai_sdk_stop,
            CANCEL,
            describe.STOP,
            errors=ERRORS,
        ),
        Route(
            "WS", f"{_CHAT}/<session_id>/socket", ai_sdk_socket, READ, describe.SOCKET, ticket=True
        ),
    ),
)
