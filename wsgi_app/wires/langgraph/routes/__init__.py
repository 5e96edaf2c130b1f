"""LangGraph's routes: the agent for useStream, and for what else speaks to its servers."""

from __future__ import annotations

from typing import Final

from wsgi_app.web.operation import Operation
from wsgi_app.web.route import CANCEL, CHAT, DELETE, READ, Route, Scopes, View, Wire
from wsgi_app.wires.langgraph import describe
from wsgi_app.wires.langgraph.routes.assistants import (
    delete_assistant,
    get_assistant,
    get_assistant_graph,
    get_assistant_schemas,
    patch_assistant,
    post_assistant_latest,
    post_assistant_versions,
    post_assistants,
    post_assistants_count,
    post_assistants_search,
)
from wsgi_app.wires.langgraph.routes.commands import post_commands
from wsgi_app.wires.langgraph.routes.errors import ERRORS
from wsgi_app.wires.langgraph.routes.old_runs import (
    get_run_join,
    get_run_stream,
    post_run,
    post_run_stream,
    post_run_wait,
    post_stateless_run,
    post_stateless_stream,
    post_stateless_wait,
)
from wsgi_app.wires.langgraph.routes.runs import get_run, get_runs, post_run_cancel
from wsgi_app.wires.langgraph.routes.thread_changes import (
    delete_thread,
    get_thread,
    patch_thread,
    post_thread_copy,
    post_threads,
)
from wsgi_app.wires.langgraph.routes.thread_list import post_threads_count, post_threads_search
from wsgi_app.wires.langgraph.routes.threads import (
    get_state_at,
    get_thread_state,
    post_state_at,
    post_thread_events,
    post_thread_history,
    post_thread_state,
)

ROOT: Final = "/langgraph"
_ASSISTANT: Final = "/assistants/<assistant_id>"
_THREAD: Final = "/threads/<thread_id>"
_RUNS: Final = f"{_THREAD}/runs"
_RUN: Final = f"{_RUNS}/<run_id>"
_ROWS: Final[tuple[tuple[str, str, View, Scopes, Operation], ...]] = (
    ("POST", f"{_THREAD}/commands", post_commands, CHAT, describe.COMMANDS),
    ("POST", f"{_THREAD}/stream/events", post_thread_events, READ, describe.EVENTS),
    ("GET", f"{_THREAD}/state", get_thread_state, READ, describe.STATE),
    ("POST", f"{_THREAD}/state", post_thread_state, READ, describe.STATE_POST),
    ("GET", f"{_THREAD}/state/<checkpoint_id>", get_state_at, READ, describe.STATE),
    ("POST", f"{_THREAD}/state/checkpoint", post_state_at, READ, describe.STATE_AT),
    ("POST", f"{_THREAD}/history", post_thread_history, READ, describe.HISTORY),
    ("POST", "/threads", post_threads, CHAT, describe.THREADS),
    ("POST", "/threads/search", post_threads_search, READ, describe.THREADS_SEARCH),
    ("POST", "/threads/count", post_threads_count, READ, describe.THREADS_COUNT),
    ("GET", _THREAD, get_thread, READ, describe.THREAD),
    ("PATCH", _THREAD, patch_thread, CHAT, describe.THREAD_CHANGE),
    ("POST", f"{_THREAD}/copy", post_thread_copy, CHAT, describe.THREAD_COPY),
    ("DELETE", _THREAD, delete_thread, DELETE, describe.THREAD_DELETE),
    ("GET", _RUNS, get_runs, READ, describe.RUNS),
    ("POST", _RUNS, post_run, CHAT, describe.RUN_BEGIN),
    ("POST", f"{_RUNS}/stream", post_run_stream, CHAT, describe.RUN_STREAM),
    ("POST", f"{_RUNS}/wait", post_run_wait, CHAT, describe.RUN_WAIT),
    ("GET", _RUN, get_run, READ, describe.RUN),
    ("GET", f"{_RUN}/stream", get_run_stream, READ, describe.RUN_REJOIN),
    ("GET", f"{_RUN}/join", get_run_join, READ, describe.RUN_JOIN),
    ("POST", f"{_RUN}/cancel", post_run_cancel, CANCEL, describe.CANCEL),
    ("POST", "/runs", post_stateless_run, CHAT, describe.RUN_BEGIN),
    ("POST", "/runs/stream", post_stateless_stream, CHAT, describe.RUN_STREAM),
    ("POST", "/runs/wait", post_stateless_wait, CHAT, describe.RUN_WAIT),
    ("POST", "/assistants", post_assistants, READ, describe.ASSISTANTS),
    ("POST", "/assistants/search", post_assistants_search, READ, describe.ASSISTANTS_SEARCH),
    ("POST", "/assistants/count", post_assistants_count, READ, describe.ASSISTANTS_COUNT),
    ("GET", _ASSISTANT, get_assistant, READ, describe.ASSISTANT),
    ("PATCH", _ASSISTANT, patch_assistant, READ, describe.ASSISTANT_CHANGE),
    ("DELETE", _ASSISTANT, delete_assistant, READ, describe.ASSISTANT_CHANGE),
    ("POST", f"{_ASSISTANT}/latest", post_assistant_latest, READ, describe.ASSISTANT_CHANGE),
    ("POST", f"{_ASSISTANT}/versions", post_assistant_versions, READ, describe.VERSIONS),
    ("GET", f"{_ASSISTANT}/graph", get_assistant_graph, READ, describe.ASSISTANT_PART),
    ("GET", f"{_ASSISTANT}/schemas", get_assistant_schemas, READ, describe.ASSISTANT_PART),
)

WIRE: Final = Wire(
    "langgraph",
    tuple(
        Route(method, f"{ROOT}{path}", view, scopes, about, errors=ERRORS)
        for method, path, view, scopes, about in _ROWS
    ),
    root=ROOT,
    errors=ERRORS,
)
