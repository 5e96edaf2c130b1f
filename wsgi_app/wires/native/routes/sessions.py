"""Routes that show, list and forget sessions."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any

from flask import Response, request
from msgspec import UNSET

from wsgi_app.engine.turn.history import for_people
from wsgi_app.errors import RequestError
from wsgi_app.store.base import SessionState
from wsgi_app.web.client_tools import takes_attachments
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, invalid, query_value
from wsgi_app.wires.native.answers import (
    DeleteAnswer,
    SessionAnswer,
    SessionsAnswer,
    SessionSummary,
    ShownMessage,
)
from wsgi_app.wires.native.request import PageSize

DEFAULT_PAGE_SIZE = 50


def get_session(mount: Mount, session_id: str) -> Response:
    """GET /session/<session_id>: state and messages."""
    check_session_id(session_id)
    view = mount.store.history(session_key(session_id))
    if view is None:
        raise RequestError("not_found", "There is no such session.")
    messages = [
        ShownMessage(m["role"], m["content"], m.get("steered", UNSET), m.get("files", UNSET))
        for m in for_people(view.messages)
    ]
    owner = view.owner if "admin" in current_principal().scopes else _opaque(view.owner)
    return json_response(SessionAnswer(**_describe(view), owner=owner, messages=messages))


def _opaque(worker_id: str) -> str:
    """A worker's name without its host and process; the random part of it cannot be guessed."""
    return hashlib.sha256(worker_id.encode()).hexdigest()[:16] if worker_id else ""


def delete_session(mount: Mount, session_id: str) -> Response:
    """DELETE /session/<session_id>: end what runs, then forget."""
    check_session_id(session_id)
    deleted = mount.delete_session(session_key(session_id))
    return json_response(DeleteAnswer(deleted=deleted))


def get_sessions(mount: Mount) -> Response:
    """GET /sessions: the tenant's sessions, newest first."""
    limit = query_value(request, "limit", PageSize, DEFAULT_PAGE_SIZE)
    tenant = current_principal().tenant
    try:
        page = mount.store.list_sessions(tenant, limit, request.args.get("cursor"))
    except ValueError:
        raise invalid("cursor", "Expected the next_cursor of an earlier answer") from None
    next_cursor = UNSET if page.next_cursor is None else page.next_cursor
    sessions = [SessionSummary(**_describe(view)) for view in page.sessions]
    takes_files = mount.files is not None and takes_attachments(mount)
    return json_response(SessionsAnswer(sessions, next_cursor, takes_files or UNSET))


def _describe(view: SessionState) -> dict[str, Any]:
    turn = view.active_turns[0] if view.active_turns else view.turn
    return {
        "session_id": view.session_id,
        "state": "running" if view.active_turns else "idle",
        "turn_id": str(turn),
        "created_at": _rfc3339(view.created_at),
        "updated_at": _rfc3339(view.updated_at),
    }


def _rfc3339(epoch_seconds: float) -> str:
    """A time as RFC 3339 writes it, in UTC."""
    moment = datetime.fromtimestamp(epoch_seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
