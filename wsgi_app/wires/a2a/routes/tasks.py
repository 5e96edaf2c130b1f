"""What both bindings do with tasks: a task is a turn, a context is a session."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from flask import Response, request
from msgspec import UNSET

from wsgi_app.attachments import Attachment
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.events import Cursor, EventId, encode_json
from wsgi_app.store.base import SessionKey, SessionState
from wsgi_app.web.client_tools import takes_attachments
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, invalid, last_event_id, new_session_id
from wsgi_app.web.respond import stream_response
from wsgi_app.web.turns import OpenTurn, attach_turn, begin_turn, open_turn
from wsgi_app.wires.a2a.encode import JsonObject, TaskBuilder, TaskEncoder
from wsgi_app.wires.a2a.request import (
    Message,
    NotSupportedError,
    SendRequest,
    TaskRef,
    note_of,
    read_files,
    read_note,
    read_text,
    speaks,
)
from wsgi_app.wires.a2a.routes.refusals import A2aError, task_not_found
from wsgi_app.wires.shared.answers import answer_from_text
from wsgi_app.wires.shared.questions import (
    UntilQuestion,
    answer_question,
    awaited_question,
    events_so_far,
    may_wait,
)

#: A message that comes again within such a span is the same one, sent twice.
REPEAT_SECONDS: Final = 300
#: Puts a stream's event into what the binding sends.
Wrap = Callable[[JsonObject], Any]


class Opened(NamedTuple):
    """A task that was begun or continued, its reader, and the question that was answered."""

    turn: OpenTurn
    builder: TaskBuilder
    answered: str | None = None


def check_version() -> None:
    """Refuse a client that speaks another version; raises A2aError."""
    named = request.headers.get("A2A-Version") or request.args.get("A2A-Version") or ""
    if not speaks(named.strip()):
        message = "This agent speaks version 1.0: send A2A-Version: 1.0."
        raise A2aError("VERSION_NOT_SUPPORTED", message, requested=named[:64] or "0.3")


# -- sending


def send(mount: Mount, wanted: SendRequest) -> JsonObject | Response:
    """Take a message and wait for what becomes of it, unless the client does not want to."""
    if wanted.settings.return_immediately:
        return {"task": _send_away(mount, wanted)}
    opened = _open(mount, wanted, streams=False)
    with opened.turn:
        if not _read(mount, opened):
            return Response(status=204)  # nobody reads it
        return {"task": opened.builder.document(wanted.settings.history_length)}


def stream(mount: Mount, wanted: SendRequest, wrap: Wrap) -> Response:
    """Take a message and stream what becomes of it."""
    opened = _open(mount, wanted, streams=True)
    with opened.turn:
        return _streamed(mount, opened, wrap, wanted.settings.history_length)


def _streamed(
    mount: Mount, opened: Opened, wrap: Wrap, history_length: int | None = None
) -> Response:
    turn = opened.turn
    encoder = TaskEncoder(opened.builder, wrap)
    encode = UntilQuestion(mount, turn.key, encoder, turn.reader, opened.answered)
    return stream_response(turn, encode, 0.0, opening=encoder.opening(turn.turn, history_length))


def _read(mount: Mount, opened: Opened) -> bool:
    """Read until the task has ended, or asks; False if the client has hung up."""
    turn = opened.turn
    encoder = TaskEncoder(opened.builder, lambda event: event)
    encode = UntilQuestion(mount, turn.key, encoder, turn.reader, opened.answered)
    return turn.read(encode)


def _send_away(mount: Mount, wanted: SendRequest) -> JsonObject:
    """Take a message; its task runs on without a reader."""
    length = wanted.settings.history_length
    if wanted.message.task_id is not None:
        opened = _open(mount, wanted, streams=False)
        opened.turn.close()
        return opened.builder.document(length)
    key, turn_request = _new_task(mount, wanted, streams=False)
    begun = begin_turn(mount, key, turn_request)
    if begun.run is not None:
        begun.run.start()
    builder = find_task(mount, TaskRef(key.session_id, begun.turn))
    return builder.document(length)


def _open(mount: Mount, wanted: SendRequest, *, streams: bool) -> Opened:
    if wanted.message.task_id is not None:
        return _go_on(mount, wanted.message, wanted.message.task_id, streams=streams)
    key, turn_request = _new_task(mount, wanted, streams=streams)
    turn = open_turn(mount, key, turn_request)
    ref = TaskRef(key.session_id, turn.turn)
    return Opened(turn, TaskBuilder(ref, read_note(turn_request.note, ref)))


def _new_task(
    mount: Mount, wanted: SendRequest, *, streams: bool
) -> tuple[SessionKey, TurnRequest]:
    if wanted.settings.task_push_notification_config is not None:
        raise push_not_supported()
    message = wanted.message
    digest = hashlib.sha256(encode_json(message)).hexdigest()
    # Ids are to be unique, but clients that say the same under the same id again are about.
    name = f"a2a:{int(time.time() // REPEAT_SECONDS)}:{digest}"
    session_id = message.context_id
    if not session_id:
        session_id = new_session_id(current_principal().tenant, name)
    note = note_of(message)
    return session_key(check_session_id(session_id)), TurnRequest(
        message=read_text(message.parts),
        metadata=wanted.agent_metadata(),
        # A task continues without readers; CancelTask ends it.
        on_disconnect="continue",
        if_busy="enqueue",
        idempotency_key=name,
        digest=digest,
        streams=streams,
        attachments=_files(mount, message),
        note=note,
    )


def _files(mount: Mount, message: Message) -> tuple[Attachment, ...]:
    try:
        found = read_files(message.parts)
    except NotSupportedError as error:
        raise A2aError("CONTENT_TYPE_NOT_SUPPORTED", f"{error}.") from None
    if found and not takes_attachments(mount):
        raise A2aError("CONTENT_TYPE_NOT_SUPPORTED", "This agent accepts text alone.")
    return found


def push_not_supported() -> A2aError:
    """The refusal of all that is about push notifications."""
    message = "This agent sends no push notifications: subscribe to the task."
    return A2aError("PUSH_NOTIFICATION_NOT_SUPPORTED", message)


def _go_on(mount: Mount, message: Message, task_id: str, *, streams: bool) -> Opened:
    """Take a message as the answer to the question that its task waits at."""
    ref, view = known_task(mount, task_id)
    if message.context_id and message.context_id != ref.session_id:
        raise invalid("message.contextId", "Expected the context of the task")
    if ref.turn not in view.active_turns:
        raise A2aError("UNSUPPORTED_OPERATION", "The task has ended.", taskId=task_id)
    key = session_key(ref.session_id)
    asked = awaited_question(mount, key, ref.turn)
    if asked is None:
        reason = "The task is at work, and asks nothing."
        raise A2aError("UNSUPPORTED_OPERATION", reason, taskId=task_id)
    event_id, question = asked
    data = [part.data for part in message.parts if part.data is not UNSET]
    value = data[0] if data else answer_from_text(question, read_text(message.parts))
    builder = _fold(mount, ref, view, until=event_id.seq)
    turn = answer_question(mount, key, event_id, question.request_id, value, streams=streams)
    builder.answer()
    return Opened(turn, builder, question.request_id)


# -- reading


def known_task(mount: Mount, task_id: str) -> tuple[TaskRef, SessionState]:
    """A task of the tenant's, and its session; raises A2aError."""
    try:
        ref = TaskRef.parse(task_id)
    except ValueError:
        raise task_not_found(task_id[:256]) from None
    view = mount.store.state_of(session_key(ref.session_id))
    if view is None or view.turn < ref.turn:
        raise task_not_found(task_id)
    return ref, view


def find_task(mount: Mount, ref: TaskRef) -> TaskBuilder:
    """A task as it is now; raises A2aError."""
    _, view = known_task(mount, str(ref))
    return task_of(mount, ref, view)


def task_of(mount: Mount, ref: TaskRef, view: SessionState, at: float | None = None) -> TaskBuilder:
    """A task as it is now, of a session that is known; raises A2aError if it is not kept."""
    builder = _fold(mount, ref, view, at=view.updated_at if at is None else at)
    if ref.turn in view.active_turns:
        key = session_key(ref.session_id)
        asked = builder.question
        if asked is not None and not may_wait(mount, key, ref.turn, asked):
            builder.answer()
        if ref.turn == view.active_turns[0]:
            builder.begin()
    elif not builder.ended and not builder.seq:
        raise task_not_found(str(ref))
    return builder


def _fold(
    mount: Mount,
    ref: TaskRef,
    view: SessionState,
    *,
    at: float | None = None,
    until: int | None = None,
) -> TaskBuilder:
    """Put a task together from its events so far, or from those up to one of them."""
    key = SessionKey(session_key(ref.session_id).tenant, view.session_id)
    builder = TaskBuilder(ref, read_note(mount.store.turn_note(key, ref.turn), ref), at)
    for numbered in events_so_far(mount, key, ref.turn):
        if until is not None and numbered.id.seq > until:
            break
        builder.take(numbered)
    return builder


def subscribe(mount: Mount, task_id: str, wrap: Wrap) -> Response:
    """Stream a task: as it is now and what follows, or from the event on that was seen last."""
    ref, view = known_task(mount, task_id)
    cursor = last_event_id(request)
    if cursor is not None and cursor.position.turn != ref.turn:
        raise invalid("Last-Event-ID", "Expected an event of this task")
    if cursor is None and ref.turn not in view.active_turns:
        raise A2aError("UNSUPPORTED_OPERATION", "The task has ended.", taskId=task_id)
    cursor = cursor or Cursor(EventId(ref.turn, 2**31))
    builder = _fold(mount, ref, view, at=view.updated_at, until=cursor.position.seq)
    builder.go_live()
    if ref.turn == next(iter(view.active_turns), 0):
        builder.begin()
    key = session_key(ref.session_id)
    # Behind what the snapshot holds, which takes the place of what the client had.
    with attach_turn(mount, key, ref.turn, builder.seq, mark=cursor.mark) as turn:
        return _streamed(mount, Opened(turn, builder), wrap)


def cancel(mount: Mount, task_id: str) -> JsonObject:
    """End a task, on whichever worker it runs; raises A2aError if it has ended."""
    ref, view = known_task(mount, task_id)
    is_active = ref.turn in view.active_turns
    if not is_active or not mount.cancel(session_key(ref.session_id), ref.turn):
        message = "The task has ended."
        raise A2aError("TASK_NOT_CANCELABLE", message, taskId=task_id)
    return find_task(mount, ref).document()


def check_sent(wanted: SendRequest) -> SendRequest:
    """The same request; raises RequestError for parts that say nothing."""
    for index, part in enumerate(wanted.message.parts):
        contents = [part.text, part.raw, part.url]
        count = sum(one is not None for one in contents) + (part.data is not UNSET)
        if count != 1:
            field = f"message.parts.{index}"
            raise invalid(field, "Expected one of text, raw, url and data")
    if not read_text(wanted.message.parts):
        raise invalid("message.parts", "Expected some text")
    return wanted
