"""Routes for front ends of the AI SDK: ``useChat`` with its default transport."""

from __future__ import annotations

import hashlib
from typing import Final

from flask import Response, request

from wsgi_app.attachments import Attachment
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.events import InputRequest, encode_json
from wsgi_app.store.base import SessionKey
from wsgi_app.web.attached import attached
from wsgi_app.web.body import read_body
from wsgi_app.web.client_tools import named_tools
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import Envelope, error_headers, error_status, json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import batch_seconds, check_session_id, invalid, parse_body
from wsgi_app.web.route import CANCEL, CHAT, READ, Route, Wire
from wsgi_app.web.turns import attach_turn, open_turn
from wsgi_app.wires.ai_sdk import describe
from wsgi_app.wires.ai_sdk import encode as ai_sdk
from wsgi_app.wires.ai_sdk.request import (
    AiSdkChatBody,
    Answer,
    Continuation,
    Submission,
    read_request,
)
from wsgi_app.wires.ai_sdk.stream import stream_turn
from wsgi_app.wires.shared.media import named
from wsgi_app.wires.shared.questions import events_so_far, waiting_prompt

#: So much of a question is told in an error's text.
MAX_PROMPT: Final = 500


def text_error(error: AgentHostError) -> Response:
    """Answer with the message alone: ``useChat`` makes the body its error's text."""
    response = Response(error.message, error_status(error), error_headers(error))
    response.content_type = "text/plain; charset=utf-8"
    response.headers["Cache-Control"] = "no-store"
    return response


def post_ai_sdk_chat(mount: Mount) -> Response:
    """POST /ai-sdk/chat: answer the user's message, or go on with the answered question."""
    body = parse_body(request, AiSdkChatBody, mount.settings.max_body_bytes)
    key = session_key(check_session_id(body.id))
    seconds = batch_seconds(request)  # a bad one is refused before there is a turn
    try:
        wanted = read_request(body)
    except ValueError as error:
        raise invalid("messages", str(error)) from None
    if isinstance(wanted, Continuation):
        return _continue(mount, key, wanted, seconds)
    attachments = attached(mount, key, wanted.media, invalid, "messages")
    wanted = wanted._replace(text=wanted.text or named(attachments))
    if not wanted.text:
        raise invalid("messages", "Expected text in the user's message")
    asked = _turn_request(mount, key, wanted, body, attachments)
    return _answer(mount, key, asked, seconds)


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
    """POST /ai-sdk/chat/<session_id>/stop: end what runs; ``stop()`` alone tells nobody."""
    key = session_key(check_session_id(session_id))
    read_body(request, mount.settings.max_body_bytes)  # what it says is known here
    stopped = mount.cancel(key, None)
    return json_response({"success": True, "cancelled": bool(stopped)})


def _answer(mount: Mount, key: SessionKey, wanted: TurnRequest, batch_seconds: float) -> Response:
    try:
        opened = open_turn(mount, key, wanted)
    except RequestError as error:
        raise _explained(mount, key, error) from None
    with opened as turn:
        return stream_turn(turn, batch_seconds)


def _explained(mount: Mount, key: SessionKey, error: RequestError) -> RequestError:
    """The same refusal; of a session that waits for its user it says so, and for what."""
    if error.code != "session_busy":
        return error
    prompt = waiting_prompt(mount, key, int(error.details["turn_id"]))
    if prompt is None:
        return error
    told = f"The agent waits for an answer, and did not take the message: {prompt[:MAX_PROMPT]}"
    return RequestError(error.code, told, error.details)


def _turn_request(
    mount: Mount,
    key: SessionKey,
    wanted: Submission,
    body: AiSdkChatBody,
    attachments: tuple[Attachment, ...],
) -> TurnRequest:
    metadata = body.metadata or {}
    is_new = wanted.kind == "new"
    # A message's id names it in its chat: a second request of it is a repetition.
    digest = hashlib.sha256(encode_json([wanted.text, metadata])).hexdigest()
    repeatable = hashlib.sha256(wanted.message_id.encode("utf-8", "surrogatepass")).hexdigest()
    return TurnRequest(
        message=wanted.text,
        metadata=metadata,
        # The front end comes back to a turn that it left, or stops it by name.
        on_disconnect="continue",
        idempotency_key=f"ai-sdk:{repeatable}" if is_new and wanted.message_id else None,
        digest=digest,
        regenerates=not is_new and _replaces_newest(mount, key, wanted),
        client_tools=named_tools(mount, body.tools, invalid),
        attachments=attachments,
    )


def _replaces_newest(mount: Mount, key: SessionKey, wanted: Submission) -> bool:
    """Whether the session's newest exchange is the one to replace; False if it never came here.

    Raises RequestError for an older one: what followed it stays in the session.
    """
    view = mount.store.history(key)
    asked = [] if view is None else [m["content"] for m in view.messages if m["role"] == "user"]
    if not asked:
        return False
    shown = wanted.user_messages
    if wanted.kind == "regenerate" and asked[-1] == wanted.text:
        return True
    if shown is None or shown == len(asked):
        return wanted.kind == "edit"
    if shown > len(asked):
        return False
    raise RequestError("invalid_request", "Only the newest message can be answered again.")


# -- questions


def _continue(
    mount: Mount, key: SessionKey, wanted: Continuation, batch_seconds: float
) -> Response:
    """Answer the question that waits, and stream what follows it.

    An answer that was given before leads to the same stream.
    """
    mount.check_draining()
    turn = ai_sdk.turn_of(wanted.message_id, key.session_id)
    answer = None
    if turn is not None:
        answer = _post_newest(mount, key, wanted.answers) or _given_before(
            mount, key, turn, wanted.answers
        )
    if turn is None or answer is None:
        raise RequestError("no_pending_input", "No question waits for this answer.")
    with attach_turn(mount, key, turn) as opened:
        return stream_turn(opened, batch_seconds, answer)


def _post_newest(mount: Mount, key: SessionKey, answers: list[Answer]) -> Answer | None:
    """Give the session the answer that it waits for, if it is among these."""
    for answer in answers:
        try:
            mount.store.post_input(key, answer.request_id, encode_json(answer.value))
        except RequestError as error:
            if error.code != "no_pending_input":
                raise
        else:
            return answer
    return None


def _given_before(mount: Mount, key: SessionKey, turn: int, answers: list[Answer]) -> Answer | None:
    """The newest of these answers whose question the turn has asked."""
    by_question = {answer.request_id: answer for answer in answers}
    newest: Answer | None = None
    for numbered in events_so_far(mount, key, turn):
        if isinstance(numbered.event, InputRequest):
            newest = by_question.get(numbered.event.request_id, newest)
    return newest


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
    ),
)
