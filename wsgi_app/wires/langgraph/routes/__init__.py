"""LangGraph's routes: the agent for useStream, and for what else speaks to its servers."""

from __future__ import annotations

from typing import Final

from wsgi_app.web.operation import Operation
from wsgi_app.web.route import CANCEL, CHAT, READ, Route, Scopes, View, Wire
from wsgi_app.wires.langgraph import describe
from wsgi_app.wires.langgraph.routes.commands import post_commands
from wsgi_app.wires.langgraph.routes.errors import ERRORS
from wsgi_app.wires.langgraph.routes.runs import get_run, get_runs, post_run_cancel
from wsgi_app.wires.langgraph.routes.threads import (
    get_thread_state,
    post_thread_events,
    post_thread_history,
)

ROOT: Final = "/langgraph"
_THREAD: Final = f"{ROOT}/threads/<thread_id>"
_RUN: Final = f"{_THREAD}/runs/<run_id>"


def _route(method: str, path: str, view: View, scopes: Scopes, about: Operation) -> Route:
    return Route(method, path, view, scopes, about, errors=ERRORS)


WIRE: Final = Wire(
    "langgraph",
    (
        _route("POST", f"{_THREAD}/commands", post_commands, CHAT, describe.COMMANDS),
        _route("POST", f"{_THREAD}/stream/events", post_thread_events, READ, describe.EVENTS),
        _route("GET", f"{_THREAD}/state", get_thread_state, READ, describe.STATE),
        _route("POST", f"{_THREAD}/history", post_thread_history, READ, describe.HISTORY),
        _route("GET", f"{_THREAD}/runs", get_runs, READ, describe.RUNS),
        _route("GET", _RUN, get_run, READ, describe.RUN),
        _route("POST", f"{_RUN}/cancel", post_run_cancel, CANCEL, describe.CANCEL),
    ),
    root=ROOT,
    errors=ERRORS,
)
