"""Responses that are made: new conversations, their next turns, and answers to questions."""

from __future__ import annotations

import time

from flask import Response, request

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.store.base import SessionKey
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import batch_seconds, idempotency_key, parse_body
from wsgi_app.web.turns import OpenTurn, attach_turn, open_turn
from wsgi_app.wires.openai.echo import asks_for_mcp
from wsgi_app.wires.openai.encode.document import ResponseAbout
from wsgi_app.wires.openai.encode.response_stream import ResponseEncoder
from wsgi_app.wires.openai.encode.responses import ResponseBuilder
from wsgi_app.wires.openai.ids import ResponseRef
from wsgi_app.wires.openai.request.responses import ResponseBody
from wsgi_app.wires.openai.routes.opening import Asking, Opened, open_response
from wsgi_app.wires.openai.routes.read import snapshot, stream_from
from wsgi_app.wires.openai.routes.turns import (
    body_digest,
    failed_turn,
    files_url,
    is_retry,
    model_name,
    read_to_end,
)


class _HttpAsking(Asking[OpenTurn]):
    """A request by HTTP."""

    def __init__(self, mount: Mount, body: ResponseBody) -> None:
        self._mount = mount
        self.digest = body_digest(request)
        self.is_retry = is_retry(request)
        self.idempotency_key = idempotency_key(request)
        self.streams = bool(body.stream)

    def open(self, key: SessionKey, wanted: TurnRequest) -> OpenTurn:
        """See `Asking.open`."""
        return open_turn(self._mount, key, wanted)

    def attach(self, key: SessionKey, turn: int) -> OpenTurn:
        """See `Asking.attach`."""
        return attach_turn(self._mount, key, turn, streams=self.streams)


def post_responses(mount: Mount) -> Response:
    """POST /v1/responses: begin a conversation, continue one, or answer a question."""
    body = parse_body(request, ResponseBody, mount.settings.max_body_bytes)
    seconds = batch_seconds(request)  # a bad one is refused before there is a turn
    opened, after_seq = open_response(mount, body, _HttpAsking(mount, body))
    with opened:
        return _respond(mount, body, opened, new_ref(body, opened, after_seq), seconds)


def new_ref(
    body: ResponseBody, opened: Opened, after_seq: int, *, steered: bool = False
) -> ResponseRef:
    """Name the response that a request gets."""
    return ResponseRef(
        opened.key.session_id,
        opened.turn,
        after_seq,
        int(time.time()),
        background=bool(body.background),
        mcp=asks_for_mcp(body.tools),
        steered=steered,
    )


def new_builder(
    mount: Mount, body: ResponseBody, ref: ResponseRef, previous: ResponseRef | None = None
) -> ResponseBuilder:
    """What puts a request's response together while it comes; ``previous``: it follows that."""
    echo = body.echo()
    if previous is not None:
        echo = {**echo, "previous_response_id": previous.id}
    about = ResponseAbout(model_name(mount), echo, lambda: int(time.time()), files_url())
    return ResponseBuilder(ref, about)


def _respond(
    mount: Mount, body: ResponseBody, opened: OpenTurn, ref: ResponseRef, batch_seconds: float
) -> Response:
    builder = new_builder(mount, body, ref)
    if body.stream:
        encoder = ResponseEncoder(builder)
        return stream_from(opened, encoder, encoder.opening(), batch_seconds)
    headers = {"X-Session-Id": ref.session_id, "X-Turn-Id": str(ref.turn)}
    if body.background:
        opened.close()
        found = builder.document("queued") if opened.is_new else snapshot(mount, ref).document()
        return json_response(found, headers=headers)

    read_to_end(opened, lambda numbered: bool(builder.take(numbered)) and builder.ended)
    if builder.error is not None:
        return failed_turn(builder.error)
    return json_response(builder.document(), headers=headers)
