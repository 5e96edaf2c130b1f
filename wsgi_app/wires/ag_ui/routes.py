"""The route for AG-UI clients: ``HttpAgent``, and what is built on it, as CopilotKit is."""

from __future__ import annotations

import hashlib
from typing import Final

from flask import Response, request

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import RequestError
from wsgi_app.events import InputRequest, encode_json
from wsgi_app.frames.sse import OPENING
from wsgi_app.store.base import SessionKey
from wsgi_app.web.attached import attached
from wsgi_app.web.client_tools import named_tools
from wsgi_app.web.current import session_key
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import batch_seconds, check_session_id, decode_json, invalid, parse_body
from wsgi_app.web.respond import STREAM_HEADERS, stream_response
from wsgi_app.web.route import CHAT, Route, Wire
from wsgi_app.web.turns import attach_turn, open_turn
from wsgi_app.wires.ag_ui import describe
from wsgi_app.wires.ag_ui.encode import Run, RunEncoder
from wsgi_app.wires.ag_ui.request import (
    InterruptId,
    RunAnswer,
    RunBody,
    in_camel_case,
    read_answers,
    run_tag,
)
from wsgi_app.wires.shared.media import named
from wsgi_app.wires.shared.questions import UntilQuestion, events_so_far, may_wait

NOT_TAKEN: Final = "The agent waits for an answer; the message was not taken."


def post_ag_ui(mount: Mount) -> Response:
    """POST /ag-ui: answer the thread's newest user message, or continue an answered question."""
    body = _body(mount)
    key = session_key(check_session_id(body.thread_id))
    seconds = batch_seconds(request)  # a bad one is refused before there is a turn
    answers = read_answers(body.resume) if body.resume else body.tool_answers()
    if body.resume or answers:
        return _resume(mount, key, body, answers, seconds)
    try:
        return _answer(mount, key, body, seconds)
    except RequestError as error:
        if error.code != "session_busy":
            raise
        asking = _find_question(mount, key, int(error.details["turn_id"]), _run(body))
        if asking is None:
            raise
        return _meet_question(mount, key, body, asking, seconds)


def _body(mount: Mount) -> RunBody:
    try:
        return parse_body(request, RunBody, mount.settings.max_body_bytes)
    except RequestError as error:
        if error.code != "invalid_request":
            raise
        sent = decode_json(request.get_data(), dict)
        if "thread_id" not in sent:
            raise
    body: RunBody = decode_json(encode_json(in_camel_case(sent)), RunBody)
    return body


def _run(body: RunBody, tag: str | None = None) -> Run:
    return Run(body.thread_id, body.run_id, tag or run_tag(body.run_id), body.speaks_1)


def _answer(mount: Mount, key: SessionKey, body: RunBody, batch_seconds: float) -> Response:
    encoder = RunEncoder(_run(body))
    with open_turn(mount, key, _wanted(mount, key, body)) as turn:
        encode = UntilQuestion(mount, key, encoder, turn.reader)
        return stream_response(turn, encode, batch_seconds, opening=encoder.opening())


def _wanted(mount: Mount, key: SessionKey, body: RunBody) -> TurnRequest:
    try:
        media = body.newest_media()
    except ValueError as error:
        raise invalid("messages", str(error)) from None
    attachments = attached(mount, key, media, invalid, "messages")
    message = body.newest_message() or named(attachments)
    if not message:
        raise invalid("messages", "Expected a user's message with text")
    metadata = body.metadata()
    digest = hashlib.sha256(encode_json([message, metadata])).hexdigest()
    name = hashlib.sha256(body.run_id.encode("utf-8", "surrogatepass")).hexdigest()
    return TurnRequest(
        message=message,
        metadata=metadata,
        idempotency_key=f"ag-ui:{name}",
        digest=digest,
        regenerates=_is_asked_again(mount, key, body, message),
        client_tools=named_tools(mount, body.tools, invalid),
        attachments=attachments,
    )


def _is_asked_again(mount: Mount, key: SessionKey, body: RunBody, message: str) -> bool:
    """Whether the message is the session's newest one: a run repeated after an error, or again."""
    view = mount.store.history(key)
    asked = [] if view is None else [m["content"] for m in view.messages if m["role"] == "user"]
    return bool(asked) and asked[-1] == message and len(asked) == body.count_user_messages()


# -- questions


def _resume(
    mount: Mount, key: SessionKey, body: RunBody, answers: list[RunAnswer], batch_seconds: float
) -> Response:
    """Answer the question that waits, and stream what follows it.

    An answer that was given before leads to the same stream.
    """
    turn = max((answer.interrupt.turn for answer in answers), default=0)
    # Attached first: the turn must not be without a reader once it continues.
    with attach_turn(mount, key, turn) as opened:
        answer = _give_answer(mount, key, [one for one in answers if one.interrupt.turn == turn])
        request_id = answer.interrupt.request_id
        encoder = RunEncoder(_run(body, answer.interrupt.tag), request_id)
        encode = UntilQuestion(mount, key, encoder, opened.reader, request_id)
        return stream_response(opened, encode, batch_seconds, opening=encoder.opening())


def _give_answer(mount: Mount, key: SessionKey, answers: list[RunAnswer]) -> RunAnswer:
    """Give the session the answer that it waits for, or find the one that it was given before."""
    for answer in answers:
        try:
            mount.store.post_input(key, answer.interrupt.request_id, encode_json(answer.value))
        except RequestError as error:
            if error.code != "no_pending_input":
                raise
        else:
            return answer
    for answer in answers:
        for numbered in events_so_far(mount, key, answer.interrupt.turn):
            event = numbered.event
            if isinstance(event, InputRequest) and event.request_id == answer.interrupt.request_id:
                return answer
    raise RequestError("no_pending_input", "No question waits for this answer.")


def _find_question(mount: Mount, key: SessionKey, turn: int, run: Run) -> RunEncoder | None:
    """The encoder of a running turn that stands at its waiting question, if there is one."""
    encoder = RunEncoder(run)
    for numbered in events_so_far(mount, key, turn):
        encoder.encode(numbered)
    asked = encoder.question
    return encoder if asked is not None and may_wait(mount, key, turn, asked) else None


def _meet_question(
    mount: Mount, key: SessionKey, body: RunBody, asking: RunEncoder, batch_seconds: float
) -> Response:
    """Answer a message that finds a question: its client may not know it, as after a reload."""
    interrupt = InterruptId.parse(asking.interrupt_id)
    if not body.speaks_1:
        message = body.newest_message()
        if not message:
            raise invalid("messages", "Expected a user's message with text")
        return _resume(mount, key, body, [RunAnswer(interrupt, message)], batch_seconds)
    frames = asking.opening() + asking.put_status(NOT_TAKEN) + asking.end_for_answer()
    response = Response(OPENING + frames, headers=STREAM_HEADERS)
    response.headers["X-Session-Id"] = key.session_id
    response.headers["X-Turn-Id"] = str(interrupt.turn)
    return response


WIRE: Final = Wire("ag_ui", (Route("POST", "/ag-ui", post_ag_ui, CHAT, describe.RUN),))
