"""Responses that are made: new conversations, their next turns, and answers to questions."""

from __future__ import annotations

import secrets
import time
from typing import Final, NamedTuple

from flask import Response, request

from wsgi_app.delivery.feed import Feed
from wsgi_app.engine.request import TurnRequest
from wsgi_app.errors import RequestError
from wsgi_app.events import EventId, InputRequest, encode_json
from wsgi_app.store.base import SessionKey, SessionView
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount, current_principal, session_key
from wsgi_app.web.parse import batch_seconds, idempotency_key, new_session_id, parse_body
from wsgi_app.web.turns import OpenTurn, attach_turn, open_turn
from wsgi_app.wires.openai.encode.responses import ResponseBuilder, ResponseEncoder
from wsgi_app.wires.openai.ids import ResponseRef
from wsgi_app.wires.openai.request.messages import bad_request
from wsgi_app.wires.openai.request.responses import ResponseBody, answer_value
from wsgi_app.wires.openai.routes.read import (
    CATCH_UP_SECONDS,
    find_with_history,
    read_until,
    snapshot,
    stream_from,
)
from wsgi_app.wires.openai.routes.references import resolve
from wsgi_app.wires.openai.routes.turns import (
    begun_before,
    body_digest,
    failed_turn,
    is_fresh,
    is_known,
    is_retry,
    model_name,
    read_to_end,
)

#: Retries of a conversation's first request are looked for in spans of this length: this one, and
#: the one before.
SPAN_SECONDS: Final = 300
_PREVIOUS: Final = "previous_response_id"


class _Asked(NamedTuple):
    """A question of the agent, and its place in the turn."""

    seq: int
    event: InputRequest


def post_responses(mount: Mount) -> Response:
    """POST /v1/responses: begin a conversation, go on with one, or answer a question."""
    body = parse_body(request, ResponseBody, mount.settings.max_body_bytes)
    seconds = batch_seconds(request)  # a bad one is refused before there is a turn
    opened, after_seq = _open(mount, body)
    with opened:
        ref = ResponseRef(
            opened.key.session_id, opened.turn, after_seq, int(time.time()), bool(body.background)
        )
        return _respond(mount, body, opened, ref, seconds)


def _open(mount: Mount, body: ResponseBody) -> tuple[OpenTurn, int]:
    """The turn that the request begins or goes on with, and where its response begins in it."""
    if body.previous_response_id is not None:
        previous, view = _find_previous(mount, body.previous_response_id)
        asked = _find_question(mount, previous, body)
        if asked is None:
            _resolve(mount, body)
            return _go_on(mount, body, previous, view), 0
        if body.has_messages():
            raise bad_request("input", "Expected the question's answer alone")
        return _answer(mount, body, previous, asked), asked.seq
    answered = body.answered()
    if answered is not None and is_known(mount, session_key(answered.session_id)):
        asked = _find_question(mount, answered, body)
        if asked is not None:
            return _answer(mount, body, answered, asked), asked.seq
    _resolve(mount, body)
    return _begin_conversation(mount, body), 0


def _resolve(mount: Mount, body: ResponseBody) -> None:
    if not isinstance(body.input, str):
        body.input = resolve(mount, body.input)


def _respond(
    mount: Mount, body: ResponseBody, opened: OpenTurn, ref: ResponseRef, batch_seconds: float
) -> Response:
    builder = ResponseBuilder(ref, model_name(mount), body.echo())
    if body.stream:
        encoder = ResponseEncoder(builder)
        return stream_from(opened, encoder, encoder.opening(), batch_seconds)
    headers = {"X-Session-Id": ref.session_id, "X-Turn-Id": str(ref.turn)}
    if body.background:
        opened.close()
        found = builder.document("queued") if opened.is_new else snapshot(mount, ref).document()
        return json_response(found, headers=headers)

    read_to_end(mount, opened, lambda numbered: bool(builder.take(numbered)) and builder.ended)
    if builder.error is not None:
        return failed_turn(builder.error)
    return json_response(builder.document(), headers=headers)


def _wanted(body: ResponseBody, before: SessionView | None = None) -> TurnRequest:
    history, message = body.read_input()
    idempotency = idempotency_key(request)
    # A session's own history is the store's; what the client adds to it comes behind.
    earlier = [] if before is None else before.messages
    return TurnRequest(
        message=message,
        metadata=body.agent_metadata(),
        history=[*earlier, *history] if history else None,
        on_disconnect="continue" if body.background else "cancel",
        idempotency_key=idempotency,
        digest=body_digest(request) if idempotency else "",
        ephemeral=before is None and body.store is False and idempotency is None,
        passing=before is None and body.store is False,
        streams=bool(body.stream),
    )


# -- a new conversation


def _begin_conversation(mount: Mount, body: ResponseBody) -> OpenTurn:
    wanted = _wanted(body)
    if wanted.idempotency_key is not None:
        tenant = current_principal().tenant
        return open_turn(mount, session_key(new_session_id(tenant, wanted.idempotency_key)), wanted)
    span = int(time.time()) // SPAN_SECONDS
    prefix = f"rs-{body_digest(request)[:32]}"
    if is_retry(request):
        tried = [f"{prefix}-{span}", f"{prefix}-{span - 1}"]
        begun = _find_begun(mount, tried, streams=wanted.streams)
        if begun is not None:
            return begun
    key = session_key(f"{prefix}-{span}")
    if not is_known(mount, key):
        try:
            return open_turn(mount, key, wanted)
        except RequestError as error:
            if error.code != "session_busy":
                raise
    # Another conversation that begins with the same words.
    return open_turn(mount, session_key(f"{prefix}-{secrets.token_hex(8)}"), wanted)


def _find_begun(mount: Mount, session_ids: list[str], *, streams: bool) -> OpenTurn | None:
    """The conversation that an earlier try of this request has begun, and nobody went on with."""
    for session_id in session_ids:
        key = session_key(session_id)
        if begun_before(mount, key) == 1:
            return attach_turn(mount, key, 1, streams=streams)
    return None


# -- the next turn of one


def _find_previous(mount: Mount, response_id: str) -> tuple[ResponseRef, SessionView]:
    try:
        return find_with_history(mount, response_id)
    except RequestError:
        raise bad_request(_PREVIOUS, "There is no such response") from None


def _go_on(mount: Mount, body: ResponseBody, previous: ResponseRef, view: SessionView) -> OpenTurn:
    wanted = _wanted(body, view)
    key = session_key(previous.session_id)
    if view.turn == previous.turn:
        return _open_next(mount, key, wanted)
    may_repeat = wanted.idempotency_key is not None or (is_retry(request) and is_fresh(view))
    if may_repeat and view.turn == previous.turn + 1 and _newest_message(view) == wanted.message:
        return attach_turn(mount, key, view.turn, streams=wanted.streams)
    raise bad_request(_PREVIOUS, "The conversation has gone on; name its newest response")


def _open_next(mount: Mount, key: SessionKey, wanted: TurnRequest) -> OpenTurn:
    try:
        return open_turn(mount, key, wanted)
    except RequestError as error:
        if error.code != "session_busy":
            raise
        told = "The previous response's turn runs, or waits for the output of its open call."
        raise RequestError(error.code, told, error.details) from None


def _newest_message(view: SessionView) -> str | None:
    mine = [one["content"] for one in view.messages if one["role"] == "user"]
    return str(mine[-1]) if mine else None


# -- the answer to a question


def _find_question(mount: Mount, previous: ResponseRef, body: ResponseBody) -> _Asked | None:
    """The question of that response which the request answers.

    Its asker may have seen it before this worker can: a worker's own readers are ahead of the
    journal. So an answer alone, which can be nothing else, waits for its question.
    """
    answers = body.read_answers()
    if not answers:
        return None
    key = session_key(previous.session_id)
    with mount.place(key) as may_wait:
        waits = may_wait and body.ends_with_answer()
        asked = _first_question(mount, previous, CATCH_UP_SECONDS if waits else 0.0)
    return asked if asked is not None and asked.event.request_id in answers else None


def _first_question(mount: Mount, previous: ResponseRef, wait_seconds: float) -> _Asked | None:
    """The first question behind a response's beginning, if it comes in time."""
    key = session_key(previous.session_id)
    feed = Feed(mount.runner, key, EventId(previous.turn, previous.after_seq), previous.turn)
    try:
        for numbered in read_until(feed, wait_seconds):
            if isinstance(numbered.event, InputRequest):
                return _Asked(numbered.id.seq, numbered.event)
    finally:
        feed.close()
    return None


def _answer(mount: Mount, body: ResponseBody, previous: ResponseRef, asked: _Asked) -> OpenTurn:
    key: SessionKey = session_key(previous.session_id)
    request_id = asked.event.request_id
    value = answer_value(asked.event, body.read_answers()[request_id])
    # Attached first: the turn shall not be without a reader once it goes on.
    opened = attach_turn(mount, key, previous.turn, streams=bool(body.stream))
    try:
        mount.store.post_input(key, request_id, encode_json(value))
    except BaseException as error:
        is_answered = isinstance(error, RequestError) and error.code == "no_pending_input"
        if is_answered and is_retry(request):
            return opened
        opened.close()
        raise
    return opened
