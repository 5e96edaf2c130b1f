"""Threads: their events, their state, their runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, request

from wsgi_app.delivery.reader import Reader
from wsgi_app.delivery.slots import Slot
from wsgi_app.engine.turn.steps import counted
from wsgi_app.errors import RequestError
from wsgi_app.events import AnyEvent
from wsgi_app.store.base import SessionKey, SessionState, SessionView
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, invalid, parse_body
from wsgi_app.web.respond import events_response
from wsgi_app.wires.langgraph.encode.events import ThreadEncoder
from wsgi_app.wires.langgraph.encode.messages import Answer, exchanges_of
from wsgi_app.wires.langgraph.encode.questions import interrupt_value
from wsgi_app.wires.langgraph.encode.state import thread_document, thread_state
from wsgi_app.wires.langgraph.ids import CheckpointRef
from wsgi_app.wires.langgraph.request.events import EventsBody, Subscription
from wsgi_app.wires.langgraph.request.state import HistoryBody
from wsgi_app.wires.langgraph.request.threads import CheckpointBody, StateBody
from wsgi_app.wires.langgraph.routes.feed import (
    NAMES,
    ThreadFeed,
    human_id,
    mark_of_turn,
    note_of,
    started_at,
)
from wsgi_app.wires.langgraph.routes.thread_notes import metadata_of
from wsgi_app.wires.shared.questions import events_so_far, may_wait, open_question


def post_thread_events(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/stream/events: the thread's events, for good."""
    key = session_key(check_session_id(thread_id))
    body = parse_body(request, EventsBody, mount.settings.max_body_bytes)
    unknown = body.unknown_channel()
    if unknown is not None:
        raise invalid("channels", f"{unknown[:40]!r} is none of the protocol's")
    wanted = Subscription(body)

    def open_reader(slot: Slot) -> Reader:
        feed = ThreadFeed.subscribed(mount, key, wanted)
        return Reader(feed, mount.worker.watcher, request.environ, slot, mount.settings.host)

    reader = mount.attach((key,), open_reader, streams=True)
    encoder = ThreadEncoder(wanted, NAMES)
    burst = mount.burst_seconds
    return events_response(mount, reader, lambda: None, encoder.encode, 0.0, burst_seconds=burst)


def get_thread_state(mount: Mount, thread_id: str) -> Response:
    """GET /langgraph/threads/<thread_id>/state: its messages, and what it waits for."""
    key = session_key(check_session_id(thread_id))
    return json_response(state_of(mount, key, view_of(mount, key)))


def post_thread_state(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/state: its state, if nothing is to be written."""
    key = session_key(check_session_id(thread_id))
    body = parse_body(request, StateBody, mount.settings.max_body_bytes, optional=True)
    view = view_of(mount, key)
    if (field := body.unserved()) is not None:
        raise invalid(field, "A thread's state is what was said: clients do not write it")
    return json_response(state_of(mount, key, view))


def post_thread_history(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/history: its newest state."""
    key = session_key(check_session_id(thread_id))
    body = parse_body(request, HistoryBody, mount.settings.max_body_bytes, optional=True)
    view = mount.store.history(key)
    if view is None or not (view.turn or view.messages) or body.is_elsewhere:
        return json_response([])
    return json_response([state_of(mount, key, view)])


def view_of(mount: Mount, key: SessionKey) -> SessionView:
    """A thread with its history; raises RequestError ``not_found``."""
    view = mount.store.history(key)
    if view is None:
        raise RequestError("not_found", "There is no such thread.")
    return view


def state_of(mount: Mount, key: SessionKey, view: SessionView) -> dict[str, Any]:
    """A thread's state: all that was said, but for what is being said just now."""
    turn = view.active_turns[0] if view.active_turns else view.turn
    mark = mark_of_turn(mount, key, turn)
    note = note_of(mount, key, turn)
    messages = [one for exchange in exchanges_of(view.messages) for one in exchange.messages]
    ref = CheckpointRef(turn, 0, mark or "0" * 12).last()
    created_at = started_at(note, view, turn) + 1
    interrupts: list[dict[str, Any]] = []
    if view.active_turns:
        events = counted(events_so_far(mount, key, turn))
        answer = Answer(human_id(note, mark), NAMES)
        steps = sum(bool(answer.take(event)) for event in events)
        ref, created_at = ref._replace(step=1 + steps), created_at - 1
        interrupts = _interrupts(mount, key, turn, events)
        # A page that is loaded at a question shows what was said before it by the state alone.
        messages += answer.so_far() if interrupts else answer.messages
    return thread_state(
        key.session_id,
        ref,
        messages,
        created_at=created_at,
        runs=bool(view.active_turns),
        interrupts=interrupts,
        metadata={} if note is None else note.metadata,
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


def status_of(mount: Mount, key: SessionKey, view: SessionState) -> str:
    """Whether something runs in a thread, or waits for an answer."""
    if not view.active_turns:
        return "idle"
    return "interrupted" if interrupts_of(mount, key, view) else "busy"


def describe_thread(
    mount: Mount, key: SessionKey, view: SessionState, *, has_values: bool = True
) -> dict[str, Any]:
    """A thread with what was said in it; one without a run may have no values."""
    messages = _messages_of(mount, key, view) if has_values else []
    waiting = interrupts_of(mount, key, view)
    return thread_document(
        key.session_id,
        metadata=metadata_of(mount, key, view),
        created_at=int(view.created_at * 1000),
        updated_at=int(view.updated_at * 1000),
        status="idle" if not view.active_turns else "interrupted" if waiting else "busy",
        values={"messages": messages} if messages or (has_values and view.turn) else None,
        interrupts={mark_of_turn(mount, key, view.active_turns[0]): waiting} if waiting else {},
    )


def _messages_of(mount: Mount, key: SessionKey, view: SessionState) -> list[dict[str, Any]]:
    history = view if isinstance(view, SessionView) else mount.store.history(key)
    stored = [] if history is None else history.messages
    return [one for exchange in exchanges_of(stored) for one in exchange.messages]


def _interrupts(
    mount: Mount, key: SessionKey, turn: int, events: Sequence[AnyEvent]
) -> list[dict[str, Any]]:
    """The question that waits for its answer, if there is one."""
    found = open_question(events)
    if found is None or not may_wait(mount, key, turn, found.asked):
        return []
    value = interrupt_value(found.event)
    return [{"id": found.event.request_id, "value": value, "namespace": [], "resumable": True}]


def interrupts_of(mount: Mount, key: SessionKey, view: SessionState) -> list[dict[str, Any]]:
    """What the thread's turn waits for; nothing if none runs."""
    if not view.active_turns:
        return []
    turn = view.active_turns[0]
    return _interrupts(mount, key, turn, counted(events_so_far(mount, key, turn)))
