"""The current request: its host, its sender and its session."""

from __future__ import annotations

from flask import current_app, g, has_request_context, request

from wsgi_app.auth import Principal
from wsgi_app.events import Cursor
from wsgi_app.logs import request_id
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey
from wsgi_app.web.mount import EXTENSION_KEY, Mount


def count_resume(cursor: Cursor | None) -> None:
    """Count a stream that continues behind an event which its reader has seen."""
    if cursor is not None and cursor.position.seq:
        metrics(current_mount().settings.host).resumes.inc()


def current_mount() -> Mount:
    """The host that this request is for."""
    found: Mount = current_app.extensions[EXTENSION_KEY][request.blueprint]
    return found


def is_agent_request() -> bool:
    """Whether the current request is for a host's routes, which have a login of their own.

    For a site's guards: a ``before_request`` that sends strangers to a login page lets such
    requests pass.
    """
    return has_request_context() and request.blueprint in current_app.extensions.get(
        EXTENSION_KEY, {}
    )


def current_principal() -> Principal:
    """Who sent this request."""
    principal: Principal = g.wsgi_app_principal
    return principal


def current_request_id() -> str:
    """The id of this request in logs: its own X-Request-Id, if that is sane."""
    if "wsgi_app_request_id" not in g:
        g.wsgi_app_request_id = request_id(request.headers.get("X-Request-Id"))
    found: str = g.wsgi_app_request_id
    return found


def session_key(session_id: str) -> SessionKey:
    """The session's identity for this request's tenant."""
    return SessionKey(g.wsgi_app_principal.tenant, session_id)
