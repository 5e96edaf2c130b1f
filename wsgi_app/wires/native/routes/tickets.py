"""The route that opens a session's streams to clients that can send no header."""

from __future__ import annotations

from flask import Response

from wsgi_app.tickets import TICKET_SECONDS
from wsgi_app.tokens import DEFAULT_SCOPES
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id
from wsgi_app.wires.native.answers import TicketAnswer


def post_ticket(mount: Mount, session_id: str) -> Response:
    """POST /chat/<session_id>/ticket: what opens this session's streams without a header.

    The routes that it opens only read, but for the WebSocket, where it may do what its caller may.
    """
    key = session_key(check_session_id(session_id))
    scopes = current_principal().scopes & DEFAULT_SCOPES
    return json_response(TicketAnswer(mount.tickets.issue(key, scopes), TICKET_SECONDS))
