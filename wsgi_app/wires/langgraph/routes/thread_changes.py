"""Threads as a whole: made, described, changed, copied, deleted."""

from __future__ import annotations

import uuid

from flask import Response, request

from wsgi_app.errors import RequestError
from wsgi_app.events import encode_json
from wsgi_app.store.base import Message, SessionKey, SessionView
from wsgi_app.store.values import begins_exchange
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, invalid, parse_body
from wsgi_app.wires.langgraph.request.supersteps import read_supersteps
from wsgi_app.wires.langgraph.request.threads import ThreadBody, ThreadChangeBody
from wsgi_app.wires.langgraph.routes.thread_notes import add_metadata, make_thread, own_metadata
from wsgi_app.wires.langgraph.routes.threads import describe_thread, view_of


def post_threads(mount: Mount) -> Response:
    """POST /langgraph/threads: make a thread, which has no run yet."""
    body = parse_body(request, ThreadBody, mount.settings.max_body_bytes, optional=True)
    _check(body.unserved())
    key = session_key(check_session_id(body.thread_id or str(uuid.uuid4())))
    try:
        messages = read_supersteps(body.supersteps or [])
    except ValueError as error:
        raise invalid("supersteps", str(error)) from None
    if len(encode_json(messages)) > mount.settings.max_history_bytes:
        raise invalid("supersteps", "Expected no more than AGENT_MAX_HISTORY_BYTES")
    is_made = make_thread(mount, key, body.metadata or {}, messages)
    if not is_made and body.if_exists != "do_nothing":
        raise RequestError("session_busy", "There is such a thread.")
    return _describe(mount, key)


def get_thread(mount: Mount, thread_id: str) -> Response:
    """GET /langgraph/threads/<thread_id>: the thread, and what was said in it."""
    return _describe(mount, session_key(check_session_id(thread_id)))


def patch_thread(mount: Mount, thread_id: str) -> Response:
    """PATCH /langgraph/threads/<thread_id>: add to the thread's metadata."""
    key = session_key(check_session_id(thread_id))
    body = parse_body(request, ThreadChangeBody, mount.settings.max_body_bytes)
    _check(body.unserved())
    add_metadata(mount, key, body.metadata or {})
    return _describe(mount, key)


def post_thread_copy(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/copy: make a thread of the same metadata and messages."""
    key = session_key(check_session_id(thread_id))
    view = view_of(mount, key)
    copy = session_key(str(uuid.uuid4()))
    make_thread(mount, copy, own_metadata(mount, key), _ended(view))
    return _describe(mount, copy)


def delete_thread(mount: Mount, thread_id: str) -> Response:
    """DELETE /langgraph/threads/<thread_id>: end what runs, and forget it."""
    mount.delete_session(session_key(check_session_id(thread_id)))
    return Response(status=204)


def _check(unserved: str | None) -> None:
    if unserved is not None:
        raise invalid(unserved, "There is none of it here")


def _describe(mount: Mount, key: SessionKey) -> Response:
    return json_response(describe_thread(mount, key, view_of(mount, key)))


def _ended(view: SessionView) -> list[Message]:
    """The history without the exchange that a turn is still at."""
    starts = [index for index, one in enumerate(view.messages) if begins_exchange(one)]
    return view.messages[: starts[-1]] if view.active_turns and starts else view.messages
