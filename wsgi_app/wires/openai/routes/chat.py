"""Chat completions: each request brings its whole conversation, and gets a session of its own."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress

from flask import Response, request
from msgspec.structs import replace

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import RequestError, StoreUnavailable
from wsgi_app.events import ClientTool, encode_json
from wsgi_app.frames.sse import KEEP_ALIVE_BLOCK
from wsgi_app.web.client_tools import checked_tools, takes_attachments, takes_tools
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import batch_seconds, idempotency_key, new_session_id, parse_body
from wsgi_app.web.respond import stream_response
from wsgi_app.web.turns import OpenTurn, attach_turn, open_turn
from wsgi_app.wires.openai.encode.chat import ChatCollector, ChatEncoder, Completion, completion_id
from wsgi_app.wires.openai.ids import ResponseRef
from wsgi_app.wires.openai.request.attachments import take_attachments
from wsgi_app.wires.openai.request.chat import ChatCompletionBody
from wsgi_app.wires.openai.request.messages import bad_request
from wsgi_app.wires.openai.request.tools import function_tools
from wsgi_app.wires.openai.routes.questions import NOT_ANSWERED, answer_to, find_question
from wsgi_app.wires.openai.routes.turns import (
    begun_before,
    body_digest,
    failed_turn,
    files_url,
    is_known,
    is_retry,
    model_name,
    read_to_end,
    until_end,
)


def post_chat_completions(mount: Mount) -> Response:
    """POST /v1/chat/completions: answer the conversation's last message."""
    body = parse_body(request, ChatCompletionBody, mount.settings.max_body_bytes)
    seconds = batch_seconds(request)  # a bad one is refused before there is a turn
    answered = body.answered()
    after_seq = 0
    if answered is None:
        begun = _open(mount, _wanted(mount, body))
    else:
        begun, after_seq = _go_on(mount, body, *answered)
    with begun as opened:
        ref = ResponseRef(opened.key.session_id, opened.turn, after_seq, 0, background=False)
        now = int(time.time())
        completion = Completion(completion_id(ref), model_name(mount), now, ref, files_url())
        if not body.stream:
            return _whole(mount, opened, completion)
        encoder = ChatEncoder(completion, include_usage=body.include_usage)
        return _stream(mount, opened, encoder, seconds)


def _wanted(mount: Mount, body: ChatCompletionBody) -> TurnRequest:
    taken = takes_attachments(mount)
    attachments = take_attachments(body.messages, "messages") if taken else ()
    history, message = body.read_messages()
    tools: tuple[ClientTool, ...] = ()
    if body.tool_choice != "none" and takes_tools(mount):
        tools = checked_tools(mount, function_tools(body.tools), bad_request)
    return TurnRequest(
        message=message,
        history=history,
        metadata=body.metadata or {},
        ephemeral=True,
        passing=True,
        streams=bool(body.stream),
        client_tools=tools,
        attachments=attachments,
    )


def _go_on(
    mount: Mount, body: ChatCompletionBody, ref: ResponseRef, answers: dict[str, str]
) -> tuple[OpenTurn, int]:
    """Give a turn the results that it waits for; where its next completion begins in it."""
    key = session_key(ref.session_id)
    asked = find_question(mount, ref, waits=True) if is_known(mount, key) else None
    value = NOT_ANSWERED if asked is None else answer_to(asked.event, answers)
    if asked is None or value is NOT_ANSWERED:
        raise RequestError("no_pending_input", "No turn waits for the results of these calls.")
    # Attached first: the turn must not be without a reader once it continues.
    opened = attach_turn(mount, key, ref.turn, asked.seq, streams=bool(body.stream))
    try:
        mount.store.post_input(key, asked.event.request_id, encode_json(value))
    except BaseException as error:
        is_answered = isinstance(error, RequestError) and error.code == "no_pending_input"
        if not (is_answered and is_retry(request)):
            opened.close()
            raise
    return opened, asked.seq


def _open(mount: Mount, wanted: TurnRequest) -> OpenTurn:
    digest = body_digest(request)
    idempotency = idempotency_key(request)
    if idempotency is not None:
        key = session_key(new_session_id(current_principal().tenant, idempotency))
        # Not ephemeral: the key should find its turn for as long as in the other wires.
        kept = replace(wanted, idempotency_key=idempotency, digest=digest, ephemeral=False)
        return open_turn(mount, key, kept)
    key = session_key(f"cc-{digest}")
    begun = begun_before(mount, key) if is_retry(request) else None
    if begun is not None:
        return attach_turn(mount, key, begun, streams=wanted.streams)
    try:
        return open_turn(mount, key, wanted)
    except RequestError as error:
        if error.code != "session_busy":
            raise
        if is_retry(request):
            turn = int(error.details["turn_id"])
            return attach_turn(mount, key, turn, streams=wanted.streams)
    return open_turn(mount, session_key(f"cc-{digest}-{secrets.token_hex(8)}"), wanted)


def _whole(mount: Mount, opened: OpenTurn, completion: Completion) -> Response:
    collector = ChatCollector(completion)
    read_to_end(opened, collector.take)
    if collector.answer.asks:
        _give_up(mount, opened)
    if collector.answer.error is not None:
        return failed_turn(collector.answer.error)
    return json_response(collector.document(), headers=_headers(opened))


def _stream(mount: Mount, opened: OpenTurn, encoder: ChatEncoder, batch_seconds: float) -> Response:
    response = stream_response(
        opened,
        until_end(opened.reader, encoder),
        batch_seconds,
        opening=encoder.opening(),
        keep_alive=KEEP_ALIVE_BLOCK,
    )
    response.call_on_close(lambda: _give_up(mount, opened) if encoder.answer.asks else None)
    return response


def _give_up(mount: Mount, opened: OpenTurn) -> None:
    """End a turn that asks something: the answer comes as a message, to another turn."""
    with suppress(StoreUnavailable):  # another worker's turn then waits out its time
        mount.cancel(opened.key, opened.turn, "disconnected")


def _headers(opened: OpenTurn) -> dict[str, str]:
    return {"X-Session-Id": opened.key.session_id, "X-Turn-Id": str(opened.turn)}
