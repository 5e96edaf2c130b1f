"""Runs: each turn of a thread up to a question, and from one to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any, Final

from flask import Response, request
from msgspec import Meta

from wsgi_app.errors import RequestError
from wsgi_app.events import Cancelled, Done, Error, InputRequest
from wsgi_app.store.base import SessionKey, SessionState
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, query_value
from wsgi_app.wires.langgraph.encode.state import run_document
from wsgi_app.wires.langgraph.ids import RunRef
from wsgi_app.wires.langgraph.routes.feed import mark_of_turn, note_of, started_at
from wsgi_app.wires.langgraph.routes.threads import interrupts_of
from wsgi_app.wires.shared.questions import events_so_far

#: So many of a thread's newest turns are listed at most.
MAX_LISTED: Final = 100
#: What only runs that have not ended are.
_ACTIVE: Final = ("pending", "running")
Amount = Annotated[int, Meta(ge=0, le=1000)]


def find_run(mount: Mount, thread_id: str, run_id: str) -> tuple[SessionKey, RunRef, SessionState]:
    """The run that a request names; raises RequestError ``not_found``."""
    key = session_key(check_session_id(thread_id))
    view = mount.store.state_of(key)
    try:
        ref = RunRef.parse(run_id)
    except ValueError:
        ref = None
    if view is None or ref is None or ref.turn > view.turn or not _is_of(mount, key, ref):
        raise RequestError("not_found", "There is no such run.")
    return key, ref, view


def _is_of(mount: Mount, key: SessionKey, ref: RunRef) -> bool:
    """Whether the turn is still that run's; one that is no longer kept may be."""
    mark = mark_of_turn(mount, key, ref.turn)
    return mark in ("", ref.mark)


def post_run_cancel(mount: Mount, thread_id: str, run_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/runs/<run_id>/cancel: end the run, on any worker."""
    key, ref, _ = find_run(mount, thread_id, run_id)
    mount.cancel(key, ref.turn)
    return get_run(mount, thread_id, run_id)


def get_runs(mount: Mount, thread_id: str) -> Response:
    """GET /langgraph/threads/<thread_id>/runs: the thread's newest runs."""
    key = session_key(check_session_id(thread_id))
    limit, offset = (
        query_value(request, name, Amount, n) for name, n in (("limit", 10), ("offset", 0))
    )
    status = request.args.get("status")
    view = mount.store.state_of(key)
    if view is None:
        raise RequestError("not_found", "There is no such thread.")
    found = islice(_runs_of(mount, key, view, status), offset, offset + limit)
    return json_response(list(found))


def _runs_of(
    mount: Mount, key: SessionKey, view: SessionState, status: str | None
) -> Iterator[dict[str, Any]]:
    """The thread's runs, newest first; each is looked up when it is asked for."""
    turns: Iterable[int] = range(view.turn, max(0, view.turn - MAX_LISTED), -1)
    if status in _ACTIVE:
        turns = reversed(view.active_turns)
    for turn in turns:
        run = describe_turn(mount, key, view, turn)
        if run is not None and status in (None, run["status"]):
            yield run


def get_run(mount: Mount, thread_id: str, run_id: str) -> Response:
    """GET /langgraph/threads/<thread_id>/runs/<run_id>: whether it continues, and how it ended."""
    key, ref, view = find_run(mount, thread_id, run_id)
    found = describe_turn(mount, key, view, ref.turn, ref.part)
    if found is None:
        raise RequestError("not_found", "There is no such run.")
    return json_response(found)


def describe_turn(
    mount: Mount, key: SessionKey, view: SessionState, turn: int, part: int | None = None
) -> dict[str, Any] | None:
    """A turn's newest run, or the one of this part; None where it is no longer kept."""
    mark = mark_of_turn(mount, key, turn)
    if not mark:
        return None
    note = note_of(mount, key, turn)
    parts, status = 0, "pending"
    if turn not in view.active_turns or view.active_turns[0] == turn:
        parts, status = _follow(mount, key, view, turn)
    if part is not None and part < parts:
        status = "interrupted"  # it ended at a question
    ref = RunRef(turn, parts if part is None else part, mark)
    return run_document(
        ref,
        key.session_id,
        note.assistant_id if note is not None else "agent",
        status,
        started_at(note, view, turn),
        metadata={} if note is None else note.metadata,
        strategy=(note.strategy if note is not None else "") or "enqueue",
    )


def _follow(mount: Mount, key: SessionKey, view: SessionState, turn: int) -> tuple[int, str]:
    """How many questions a turn has had answered, and how it stands."""
    asked, status = 0, "running"
    for numbered in events_so_far(mount, key, turn):
        event = numbered.event
        if isinstance(event, InputRequest):
            asked += 1
        elif isinstance(event, Done):
            status = "success"
        elif isinstance(event, (Error, Cancelled)):
            status = "error" if isinstance(event, Error) else "interrupted"
    if status == "running" and interrupts_of(mount, key, view):
        return asked - 1, "interrupted"
    return asked, status
