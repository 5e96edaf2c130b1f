"""Routes that start, end and answer turns."""

from __future__ import annotations

from flask import Response, request
from msgspec import UNSET

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.events import Cursor, EventId, encode_json
from wsgi_app.store.base import SessionKey
from wsgi_app.web.answers import CancelAnswer, Okay
from wsgi_app.web.attached import attached
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import (
    check_session_id,
    idempotency_key,
    invalid,
    last_event_id,
    new_session_id,
    parse_body,
)
from wsgi_app.web.respond import stream_response
from wsgi_app.web.steer import begin_or_steer, new_steer_id, steer_turn
from wsgi_app.web.turns import OpenTurn, attach_behind, open_turn
from wsgi_app.wires.native.answers import SteerAnswer
from wsgi_app.wires.native.options import StreamOptions, wants_json
from wsgi_app.wires.native.request import (
    CancelBody,
    ChatBody,
    InputBody,
    NewChatBody,
    SteerBody,
    ToolResultBody,
)
from wsgi_app.wires.native.respond import answer_response, native_encoder
from wsgi_app.wires.native.tools import give_results, offered


def post_chat(mount: Mount, session_id: str) -> Response:
    """POST /chat/<session_id>: start a turn."""
    check_session_id(session_id)
    body = parse_body(request, ChatBody, mount.settings.max_body_bytes)
    return _chat(mount, session_key(session_id), body, idempotency_key(request))


def post_new_chat(mount: Mount) -> Response:
    """POST /chat: start a turn in the session that the body names, or in a new one."""
    body = parse_body(request, NewChatBody, mount.settings.max_body_bytes)
    key = idempotency_key(request)
    if body.session_id is UNSET:
        session_id = new_session_id(current_principal().tenant, key)
    else:
        session_id = check_session_id(body.session_id)
    return _chat(mount, session_key(session_id), body, key)


def post_cancel(mount: Mount, session_id: str) -> Response:
    """POST /chat/<session_id>/cancel: end what runs and waits."""
    check_session_id(session_id)
    body = parse_body(request, CancelBody, mount.settings.max_body_bytes, optional=True)
    turn = None if body.turn_id is UNSET else int(body.turn_id)
    numbers = mount.cancel(session_key(session_id), turn)
    turn_id = str(numbers[0]) if numbers else UNSET
    return json_response(CancelAnswer(cancelled=bool(numbers), turn_id=turn_id))


def post_input(mount: Mount, session_id: str) -> Response:
    """POST /chat/<session_id>/input: answer the agent's question."""
    check_session_id(session_id)
    body = parse_body(request, InputBody, mount.settings.max_body_bytes)
    mount.store.post_input(session_key(session_id), body.request_id, encode_json(body.value))
    return json_response(Okay())


def post_steer(mount: Mount, session_id: str) -> Response:
    """POST /chat/<session_id>/steer: say something to the turn that runs."""
    check_session_id(session_id)
    body = parse_body(request, SteerBody, mount.settings.max_body_bytes)
    steer_id = new_steer_id(idempotency_key(request))
    event_id = steer_turn(mount, session_key(session_id), steer_id, body.message)
    answer = SteerAnswer(turn_id=str(event_id.turn), steer_id=steer_id, event_id=str(event_id))
    return json_response(answer)


def post_tool_result(mount: Mount, session_id: str) -> Response:
    """POST /chat/<session_id>/tool_result: give what the client's tools came to."""
    check_session_id(session_id)
    body = parse_body(request, ToolResultBody, mount.settings.max_body_bytes)
    give_results(mount, session_key(session_id), body.request_id, body.results)
    return json_response(Okay())


def _chat(mount: Mount, key: SessionKey, body: ChatBody, idempotency: str | None) -> Response:
    wants_whole = wants_json(request)
    # A repeated request continues where its stream was cut; a JSON answer is always whole.
    cursor = None if wants_whole else last_event_id(request)
    options = StreamOptions.read(request, cursor)

    wanted = TurnRequest(
        message=body.message,
        metadata=body.metadata,
        on_disconnect=body.on_disconnect,
        if_busy="reject" if body.if_busy == "steer" else body.if_busy,
        idempotency_key=idempotency,
        digest=body.digest() if idempotency else "",
        streams=not wants_whole,
        client_tools=offered(mount, body.tools) if body.tools else (),
        attachments=attached(mount, key, body.files, invalid) if body.files else (),
    )
    begin = _steer if body.if_busy == "steer" else open_turn
    with begin(mount, key, wanted, cursor) as turn:
        if wants_whole:
            return answer_response(turn.wait(), key, turn.turn)
        burst = mount.burst_seconds
        encode = native_encoder(options, burst)
        return stream_response(turn, encode, options.batch_seconds, burst_seconds=burst)


def _steer(mount: Mount, key: SessionKey, wanted: TurnRequest, cursor: Cursor | None) -> OpenTurn:
    """Say it to the turn that runs; where none does, begin one."""

    def steer() -> EventId:
        event_id = steer_turn(mount, key, new_steer_id(wanted.idempotency_key), wanted.message)
        if wanted.idempotency_key is not None:
            keep = mount.store.note_key
            keep(key, event_id.turn, wanted.idempotency_key, wanted.digest)
        return event_id

    return begin_or_steer(
        *(mount, key),
        lambda: open_turn(mount, key, wanted, cursor),
        # From its event on: what was said before is not this message's answer.
        lambda: attach_behind(mount, key, steer, streams=wanted.streams),
    )
