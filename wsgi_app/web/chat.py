"""Routes that start, end and answer turns."""

from __future__ import annotations

import secrets

from flask import Response, request
from msgspec import UNSET

from wsgi_app.delivery.polling import await_answer
from wsgi_app.delivery.reader import Reader, ReaderGone
from wsgi_app.engine.order import TurnOrder
from wsgi_app.engine.runner import BegunTurn
from wsgi_app.errors import RequestError
from wsgi_app.events import Cancelled, EventId, encode_json
from wsgi_app.store.base import BeginTurn, SessionKey
from wsgi_app.web.mount import Mount, current_principal, session_key
from wsgi_app.web.parse import (
    CancelBody,
    ChatBody,
    InputBody,
    NewChatBody,
    batch_seconds,
    check_message,
    check_session_id,
    idempotency_key,
    last_event_id,
    new_session_id,
    parse_body,
    wants_json,
)
from wsgi_app.web.respond import answer_response, json_response, stream_response

#: How long a repeated request waits for what may follow an answer that was just given.
REPLAY_PATIENCE_SECONDS = 0.5


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
    numbers = mount.runner.cancel(session_key(session_id), turn, "user")
    if not numbers:
        return json_response({"ok": True, "cancelled": False})
    return json_response({"ok": True, "cancelled": True, "turn_id": str(numbers[0])})


def post_input(mount: Mount, session_id: str) -> Response:
    """POST /chat/<session_id>/input: answer the agent's question."""
    check_session_id(session_id)
    body = parse_body(request, InputBody, mount.settings.max_body_bytes)
    mount.store.post_input(session_key(session_id), body.request_id, encode_json(body.value))
    return json_response({"ok": True})


def _chat(mount: Mount, key: SessionKey, body: ChatBody, idempotency: str | None) -> Response:
    check_message(body.message, mount.settings.max_message_chars)
    cursor = last_event_id(request)
    batch_seconds(request)  # a bad one is refused before there is a turn
    if mount.draining:
        raise RequestError("draining", "This worker is about to leave; try again.")
    give_slot_back = mount.take_slot(key.tenant)
    try:
        begun = _begin(mount, key, body, idempotency)
        after = EventId(begun.turn, 0)
        # A repeated request goes on where its stream was cut; a JSON answer is always whole.
        if cursor is not None and cursor.turn == begun.turn and not wants_json(request):
            after = cursor
        reader = mount.open_reader(key, after, begun.turn, give_slot_back, begun.run)
    except BaseException:
        give_slot_back()
        raise
    try:
        if wants_json(request):
            return _await(mount, key, begun, reader)
        return stream_response(mount, reader, key, begun.turn, lambda: _start(begun))
    except BaseException:
        reader.close()
        _start(begun)
        raise


def _begin(mount: Mount, key: SessionKey, body: ChatBody, idempotency: str | None) -> BegunTurn:
    order = TurnOrder(
        message=body.message,
        metadata=body.metadata,
        on_disconnect=body.on_disconnect,
        app_context=mount.app_context,
        context=mount.agent_context(),
    )
    claim = BeginTurn(
        key=key,
        run_id=secrets.token_hex(8),
        worker_id=mount.runner.worker_id,
        message=body.message,
        if_busy=body.if_busy,
        idempotency_key=idempotency,
        request_digest=body.digest(),
    )
    return mount.runner.begin(claim, order)


def _start(begun: BegunTurn) -> None:
    if begun.run is not None:
        begun.run.start()


def _await(mount: Mount, key: SessionKey, begun: BegunTurn, reader: Reader) -> Response:
    _start(begun)
    mount.release_resources()
    try:
        outcome = await_answer(
            reader,
            lambda request_id: mount.runner.is_asked(key, begun.turn, request_id),
            0 if begun.run is not None else REPLAY_PATIENCE_SECONDS,
        )
    except ReaderGone:
        # Nobody reads this answer; it says what the turn comes to.
        outcome = Cancelled("disconnected")
    finally:
        reader.close()
    return answer_response(outcome, key, begun.turn)
