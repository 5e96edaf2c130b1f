"""The host's own routes."""

from __future__ import annotations

from typing import Final

from wsgi_app.web.route import CANCEL, CHAT, DELETE, READ, Route, Wire
from wsgi_app.wires.native import describe
from wsgi_app.wires.native.routes import chat, files, probe, read, sessions, tickets, websocket

WIRE: Final = Wire(
    "native",
    (
        Route("POST", "/chat", chat.post_new_chat, CHAT, describe.NEW_CHAT),
        Route("POST", "/chat/<session_id>", chat.post_chat, CHAT, describe.CHAT),
        Route("POST", "/chat/<session_id>/cancel", chat.post_cancel, CANCEL, describe.CANCEL),
        Route("POST", "/chat/<session_id>/input", chat.post_input, CHAT, describe.INPUT),
        Route("POST", "/chat/<session_id>/steer", chat.post_steer, CHAT, describe.STEER),
        Route(
            "POST",
            "/chat/<session_id>/tool_result",
            chat.post_tool_result,
            CHAT,
            describe.TOOL_RESULT,
        ),
        Route(
            "GET", "/chat/<session_id>/events", read.get_events, READ, describe.EVENTS, ticket=True
        ),
        Route("GET", "/chat/<session_id>/poll", read.get_poll, READ, describe.POLL, ticket=True),
        Route("POST", "/chat/<session_id>/ticket", tickets.post_ticket, READ, describe.TICKET),
        Route("GET", "/events", read.get_many_events, READ, describe.MANY_EVENTS),
        Route("GET", "/session/<session_id>", sessions.get_session, READ, describe.SESSION),
        Route(
            "DELETE",
            "/session/<session_id>",
            sessions.delete_session,
            DELETE,
            describe.DELETE_SESSION,
        ),
        Route("GET", "/sessions", sessions.get_sessions, READ, describe.SESSIONS),
        Route(
            "WS",
            "/ws/chat/<session_id>",
            websocket.websocket,
            READ,
            describe.WEBSOCKET,
            ticket=True,
        ),
        Route("POST", "/files", files.post_files, CHAT, describe.NEW_FILE),
        Route("GET", "/files/<file_id>", files.get_file, READ, describe.FILE),
        Route("DELETE", "/files/<file_id>", files.delete_file, CHAT, describe.DELETE_FILE),
        Route("POST", "/probe", probe.post_probe, CHAT, describe.PROBE),
    ),
)
