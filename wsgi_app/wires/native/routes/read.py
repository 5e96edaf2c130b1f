"""Routes that read turns: live, replayed, polled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flask import Request, Response, request

from wsgi_app.delivery.many_feeds import ManyFeeds
from wsgi_app.delivery.polling import poll_events
from wsgi_app.delivery.reader import Reader, ReaderGone
from wsgi_app.delivery.slots import Slot
from wsgi_app.errors import RequestError
from wsgi_app.events import LOST_SEQ, Cursor, EventId, NumberedEvent
from wsgi_app.frames import sse
from wsgi_app.store.base import SessionKey, SessionState
from wsgi_app.web.current import count_resume, session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import (
    check_session_id,
    invalid,
    last_event_id,
    parse_cursor,
    query_value,
)
from wsgi_app.web.refuse import count_refused
from wsgi_app.web.respond import events_response, stream_response
from wsgi_app.web.turns import follow_session
from wsgi_app.wires.native import encode as native
from wsgi_app.wires.native.answers import PollAnswer
from wsgi_app.wires.native.options import StreamOptions, wants_marks
from wsgi_app.wires.native.request import MAX_SESSIONS_PER_STREAM, PollWaitSeconds
from wsgi_app.wires.native.respond import many_encoder, native_encoder, refused_event_source

#: Refusals that pass: an EventSource should come back after them.
PASSING_CODES: Final = ("draining", "at_capacity", "store_unavailable", "rate_limited")


def get_events(mount: Mount, session_id: str) -> Response:
    """GET /chat/<session_id>/events: attach or replay."""
    check_session_id(session_id)
    cursor = last_event_id(request)
    options = StreamOptions.read(request, cursor)  # bad ones are refused, stream or not
    try:
        return _attach(mount, session_key(session_id), cursor, options)
    except RequestError as error:
        last = cursor and (cursor if options.marked_ids else cursor.position)
        return _come_back(error, "" if last is None else str(last))


def _come_back(error: RequestError, last_event_id: str) -> Response:
    """Send an EventSource away for a while; raises the error for everybody else."""
    is_event_source = sse.MIME_TYPE in request.headers.get("Accept", "")
    if error.code not in PASSING_CODES or not is_event_source:
        raise error
    count_refused(error.code)
    return refused_event_source(error, last_event_id)


def _attach(
    mount: Mount, key: SessionKey, cursor: Cursor | None, options: StreamOptions
) -> Response:
    mount.check_draining()
    view = mount.store.state_of(key)
    start = _where_to_start(view, cursor)
    if view is None or start is None or _nothing_left(mount, key, view, start):
        return Response(status=204)
    with follow_session(mount, key, view.turn, start) as turn:
        burst = mount.burst_seconds
        encode = native_encoder(options, burst)
        return stream_response(turn, encode, options.batch_seconds, burst_seconds=burst)


def get_many_events(mount: Mount) -> Response:
    """GET /events?session=…&session=…: many sessions in one stream, which continues for good."""
    sessions = _sessions_of(request)
    text = request.headers.get("Last-Event-ID") or request.args.get("last_event_id") or ""
    cursors = _many_cursors(text, len(sessions))
    options = StreamOptions.read(request)
    keys = [session_key(session_id) for session_id in sessions]
    try:
        return _attach_many(mount, keys, cursors, options)
    except RequestError as error:
        return _come_back(error, text)


def _attach_many(
    mount: Mount,
    keys: list[SessionKey],
    cursors: Sequence[Cursor | None],
    options: StreamOptions,
) -> Response:
    def open_reader(slot: Slot) -> Reader:
        feed = ManyFeeds(mount.runner, keys, cursors)
        return Reader(feed, mount.worker.watcher, request.environ, slot, mount.settings.host)

    reader = mount.attach(keys, open_reader, streams=True)
    count_resume(max(filter(None, cursors), key=lambda cursor: cursor.position.seq, default=None))
    encode = many_encoder(options)
    return events_response(
        mount,
        reader,
        lambda: None,
        encode,
        options.batch_seconds,
        burst_seconds=mount.burst_seconds,
    )


def _sessions_of(request: Request) -> list[str]:
    sessions = [check_session_id(session_id) for session_id in request.args.getlist("session")]
    if not 1 <= len(sessions) <= MAX_SESSIONS_PER_STREAM or len(set(sessions)) < len(sessions):
        raise invalid("session", f"Expected 1 to {MAX_SESSIONS_PER_STREAM} different sessions")
    return sessions


def _many_cursors(text: str, count: int) -> Sequence[Cursor | None]:
    """Where the reader stands in each session, in their order; None where it has not been."""
    if not text:
        return [None] * count
    try:
        cursors = [Cursor.parse(part) for part in text.split(",")]
    except ValueError:
        cursors = []
    if len(cursors) != count:
        raise invalid("last_event_id", "Expected an id of this stream, one <turn>-<seq> a session")
    return cursors


def _where_to_start(view: SessionState | None, cursor: Cursor | None) -> Cursor | None:
    """The cursor, else the start of the running turn; None when there is neither."""
    if view is None or cursor is not None:
        return cursor
    return Cursor(EventId(view.active_turns[0], 0)) if view.active_turns else None


def _nothing_left(mount: Mount, key: SessionKey, view: SessionState, start: Cursor) -> bool:
    if view.active_turns:
        return False
    left = mount.store.read(key, start.position, 1, start.mark)
    return left is None or not (left.events or left.live_turn is not None)


def get_poll(mount: Mount, session_id: str) -> Response:
    """GET /chat/<session_id>/poll: events after a cursor, waited for if there are none."""
    check_session_id(session_id)
    cursor = parse_cursor(request.args.get("after"), "after")
    wait_seconds = query_value(request, "wait", PollWaitSeconds, 0.0)
    key = session_key(session_id)
    view = mount.store.state_of(key)
    if view is None:
        raise RequestError("not_found", "There is no such session.")
    start = _where_to_start(view, cursor)
    if start is None:
        # Behind everything: no event has a higher seq than a lost worker's terminal one.
        return _poll_response([], Cursor(EventId(view.turn, LOST_SEQ)), running=False)
    try:
        slot = mount.take_slot((key,))
    except RequestError:
        with mount.permit(key) as may_read:
            if not may_read:
                return _poll_response([], start, running=True)
            return _read_poll(mount, key, start, None, 0.0)
    longest = mount.burst_seconds
    seconds = wait_seconds if longest is None else min(wait_seconds, longest)
    return _read_poll(mount, key, start, slot, seconds)


def _read_poll(
    mount: Mount, key: SessionKey, start: Cursor, slot: Slot | None, wait_seconds: float
) -> Response:
    try:
        reader = mount.open_reader(key, start, None, slot)
    except BaseException:
        if slot is not None:
            slot.give_back()
        raise
    try:
        mount.release_resources()
        events, running = poll_events(reader, wait_seconds)
    except ReaderGone:
        return Response(status=204)  # nobody reads it
    finally:
        reader.close()
    return _poll_response(events, start, running=running)


def _poll_response(events: list[NumberedEvent], start: Cursor, *, running: bool) -> Response:
    last = events[-1].id if events else start.position
    marks = wants_marks(request)
    shown = [native.with_id(one, marks=marks) for one in events]
    return json_response(PollAnswer(shown, str(last), running))
