"""Threads as a whole: made, listed, described, deleted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Final

from flask import Response, request

from wsgi_app.errors import RequestError
from wsgi_app.store.base import SessionKey, SessionState
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, parse_body
from wsgi_app.wires.langgraph.encode.messages import exchanges_of
from wsgi_app.wires.langgraph.encode.state import thread_document
from wsgi_app.wires.langgraph.ids import CheckpointRef
from wsgi_app.wires.langgraph.request.threads import CheckpointBody, SearchBody, ThreadBody
from wsgi_app.wires.langgraph.routes.feed import mark_of_turn, note_of
from wsgi_app.wires.langgraph.routes.threads import interrupts_of, state_of, view_of

#: So many of a tenant's newest threads are looked through.
MAX_SEARCHED: Final = 1000
_PAGE: Final = 100


def post_threads(mount: Mount) -> Response:
    """POST /langgraph/threads: name a thread, which is there with its first run."""
    body = parse_body(request, ThreadBody, mount.settings.max_body_bytes, optional=True)
    key = session_key(check_session_id(body.thread_id or str(uuid.uuid4())))
    view = mount.store.state_of(key) if body.thread_id else None
    if view is None:
        return json_response(thread_document(key.session_id, metadata=body.metadata or {}))
    if body.if_exists != "do_nothing":
        raise RequestError("session_busy", "There is such a thread.", {"turn_id": str(view.turn)})
    return json_response(describe_thread(mount, key, view))


def get_thread(mount: Mount, thread_id: str) -> Response:
    """GET /langgraph/threads/<thread_id>: the thread, and what was said in it."""
    key = session_key(check_session_id(thread_id))
    return json_response(describe_thread(mount, key, view_of(mount, key)))


def delete_thread(mount: Mount, thread_id: str) -> Response:
    """DELETE /langgraph/threads/<thread_id>: end what runs, and forget it."""
    mount.delete_session(session_key(check_session_id(thread_id)))
    return Response(status=204)


def post_threads_search(mount: Mount) -> Response:
    """POST /langgraph/threads/search: the tenant's threads, newest first."""
    body = _search(mount)
    found: list[dict[str, Any]] = []
    skipped = 0
    for key, view in _matching(mount, body):
        if skipped < body.offset:
            skipped += 1
        elif len(found) < min(body.limit, _PAGE):
            found.append(describe_thread(mount, key, view))
        else:
            break
    return json_response(found)


def post_threads_count(mount: Mount) -> Response:
    """POST /langgraph/threads/count: how many a search finds."""
    body = _search(mount)
    return json_response(sum(1 for _ in _matching(mount, body)))


def _search(mount: Mount) -> SearchBody:
    return parse_body(request, SearchBody, mount.settings.max_body_bytes, optional=True)


def _matching(mount: Mount, body: SearchBody) -> Iterator[tuple[SessionKey, SessionState]]:
    for key, view in _sessions(mount, body):
        if body.ids is not None and key.session_id not in body.ids:
            continue
        if body.metadata:
            metadata = _metadata(mount, key, view)
            if any(metadata.get(name) != value for name, value in body.metadata.items()):
                continue
        if body.status is None or body.status == _status(mount, key, view):
            yield key, view


def _sessions(mount: Mount, body: SearchBody) -> Iterator[tuple[SessionKey, SessionState]]:
    tenant = current_principal().tenant
    found: list[SessionState] = []
    cursor: str | None = None
    while len(found) < MAX_SEARCHED:
        page = mount.store.list_sessions(tenant, _PAGE, cursor)
        found += page.sessions
        cursor = page.next_cursor
        if cursor is None:
            break
    if (body.sort_order or "").lower() == "asc":
        found.reverse()
    for view in found:
        yield SessionKey(tenant, view.session_id), view


def _metadata(mount: Mount, key: SessionKey, view: SessionState) -> dict[str, Any]:
    """What the thread's newest run was started with."""
    note = note_of(mount, key, view.turn)
    if note is None:
        return {}
    named = {"assistant_id": note.assistant_id, "graph_id": note.assistant_id}
    return {**note.metadata, **named}


def _status(mount: Mount, key: SessionKey, view: SessionState) -> str:
    if not view.active_turns:
        return "idle"
    return "interrupted" if interrupts_of(mount, key, view) else "busy"


def describe_thread(mount: Mount, key: SessionKey, view: SessionState) -> dict[str, Any]:
    """A thread with what was said in it."""
    history = mount.store.history(key)
    stored = [] if history is None else history.messages
    messages = [one for exchange in exchanges_of(stored) for one in exchange.messages]
    waiting = interrupts_of(mount, key, view)
    return thread_document(
        key.session_id,
        metadata=_metadata(mount, key, view),
        created_at=int(view.created_at * 1000),
        updated_at=int(view.updated_at * 1000),
        status="idle" if not view.active_turns else "interrupted" if waiting else "busy",
        values={"messages": messages},
        interrupts={mark_of_turn(mount, key, view.active_turns[0]): waiting} if waiting else {},
    )


def get_state_at(mount: Mount, thread_id: str, checkpoint_id: str) -> Response:
    """GET /langgraph/threads/<thread_id>/state/<checkpoint_id>: a state, if it is the newest."""
    return _state_at(mount, thread_id, checkpoint_id)


def post_state_at(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/state/checkpoint: a state, if it is the newest."""
    body = parse_body(request, CheckpointBody, mount.settings.max_body_bytes)
    return _state_at(mount, thread_id, body.checkpoint_id)


def _state_at(mount: Mount, thread_id: str, checkpoint_id: str) -> Response:
    key = session_key(check_session_id(thread_id))
    state = state_of(mount, key, view_of(mount, key))
    newest = CheckpointRef.parse(state["checkpoint"]["checkpoint_id"])
    if checkpoint_id not in ("", newest.id):
        raise RequestError("not_found", "Only the thread's newest state is kept.")
    return json_response(state)
