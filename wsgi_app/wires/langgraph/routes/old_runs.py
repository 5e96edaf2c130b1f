"""Runs by the older routes: streamed, waited for, joined."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from flask import Response, request
from msgspec import structs

from wsgi_app.delivery.reader import Reader
from wsgi_app.delivery.slots import Slot
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import RequestError
from wsgi_app.events import Done, Error
from wsgi_app.store.base import SessionKey, SessionState
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, invalid, parse_body
from wsgi_app.web.respond import STREAM_HEADERS, events_response
from wsgi_app.web.turns import OpenTurn, attach_turn, begin_turn, open_turn
from wsgi_app.wires.langgraph.encode.run import RunEncoder
from wsgi_app.wires.langgraph.ids import RunRef
from wsgi_app.wires.langgraph.request.runs import MODE_MARKS, ThreadRunBody
from wsgi_app.wires.langgraph.routes.commands import CommandError, give_answers, wanted_of
from wsgi_app.wires.langgraph.routes.feed import NAMES, ThreadFeed, mark_of_turn
from wsgi_app.wires.langgraph.routes.runs import describe_turn, find_run
from wsgi_app.wires.langgraph.routes.threads import interrupts_of, state_of, view_of
from wsgi_app.wires.shared.questions import find_behind

#: Modes that begin with the thread's state.
_WITH_STATE: Final = frozenset({"values", "events"})
_ALL_MODES: Final = frozenset({"values", "messages-tuple", "updates", "custom"})


class _Begun(NamedTuple):
    """A run that was begun, or continued an answer."""

    ref: RunRef
    #: Lets it run.
    start: Callable[[], None] = lambda: None


def _wanted(mount: Mount, key: SessionKey, body: ThreadRunBody, **more: Any) -> TurnRequest:
    """The turn that is asked for; raises RequestError."""
    try:
        wanted = wanted_of(mount, key, body.params())
    except CommandError as error:
        raise invalid("input", str(error)) from None
    return structs.replace(wanted, on_disconnect=body.on_disconnect or "cancel", **more)


def _begin(mount: Mount, key: SessionKey, body: ThreadRunBody, **more: Any) -> _Begun:
    """Begin the run that is asked for, or answer what the thread waits for."""
    _check_exists(mount, key, body)
    if body.command:
        return _go_on(mount, key, body)
    begun = begin_turn(mount, key, _wanted(mount, key, body, **more))
    run = begun.run
    if run is None:
        return _Begun(RunRef(begun.turn, 0, mark_of_turn(mount, key, begun.turn)))
    return _Begun(RunRef(begun.turn, 0, run.mark), run.start)


def _check_exists(mount: Mount, key: SessionKey, body: ThreadRunBody) -> None:
    """Raise RequestError ``not_found`` where the run is to make no thread, and there is none."""
    if body.if_not_exists == "reject" and mount.store.state_of(key) is None:
        raise RequestError("not_found", "There is no such thread.")


def _go_on(mount: Mount, key: SessionKey, body: ThreadRunBody) -> _Begun:
    view = mount.store.state_of(key)
    waiting = _interrupts(mount, key, view) if view is not None and view.active_turns else []
    try:
        answers = body.answers([one["id"] for one in waiting])
    except ValueError as error:
        raise invalid("command", str(error)) from None
    if view is None or not answers:
        raise RequestError("no_pending_input", "No interrupt waits for an answer.")
    described = describe_turn(mount, key, view, view.active_turns[0])
    asked = RunRef.parse(str(described and described["run_id"]))
    if not give_answers(mount, key, answers):
        raise RequestError("no_pending_input", "No interrupt waits for this answer.")
    return _Begun(asked._replace(part=asked.part + 1))


def _interrupts(mount: Mount, key: SessionKey, view: SessionState) -> list[dict[str, Any]]:
    """Those that the thread waits at, though its worker's journal may be behind."""

    def look() -> list[dict[str, Any]] | None:
        return interrupts_of(mount, key, view) or None

    return find_behind(mount, key, view.active_turns[0], look) or []


def _headers(thread_id: str, ref: RunRef) -> dict[str, str]:
    """Where a client finds the run, and its stream: below its own base, whatever the mount's is."""
    run_url = f"/threads/{thread_id}/runs/{ref.id}"
    return {"Content-Location": run_url, "Location": f"{run_url}/stream"}


# -- streams


def post_run_stream(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/runs/stream: begin a run, and stream it."""
    body = _body(mount)
    return _stream_new(mount, session_key(check_session_id(thread_id)), body)


def post_stateless_stream(mount: Mount) -> Response:
    """POST /langgraph/runs/stream: begin a run in a thread of its own, and stream it."""
    return _stream_new(mount, _own_thread(), _body(mount), ephemeral=True)


def _body(mount: Mount) -> ThreadRunBody:
    body = parse_body(request, ThreadRunBody, mount.settings.max_body_bytes)
    if (field := body.unserved()) is not None:
        raise invalid(field, "There is none of it here")
    return body


def _own_thread() -> SessionKey:
    return session_key(str(uuid.uuid4()))


def _stream_new(mount: Mount, key: SessionKey, body: ThreadRunBody, **more: Any) -> Response:
    begun: list[_Begun] = []

    def open_reader(slot: Slot) -> Reader:
        begun.append(_begin(mount, key, body, **more))
        try:
            return _open(mount, key, begun[0].ref, body.modes, slot)
        except BaseException:
            begun[0].start()  # it was begun, and runs all the same
            raise

    reader = mount.attach((key,), open_reader, streams=True, starts=True)
    (one,) = begun
    return _respond(mount, key, reader, one, body.modes)


def _open(mount: Mount, key: SessionKey, ref: RunRef, modes: frozenset[str], slot: Slot) -> Reader:
    feed = ThreadFeed.of_turn(mount, key, ref.turn, wants_state=bool(_WITH_STATE & modes))
    return Reader(feed, mount.worker.watcher, request.environ, slot, mount.settings.host)


def _respond(  # noqa: PLR0913, PLR0917 - the parts of a stream
    mount: Mount,
    key: SessionKey,
    reader: Reader,
    begun: _Begun,
    modes: frozenset[str],
    since: int = -1,
) -> Response:
    encoder = RunEncoder(begun.ref, key.session_id, modes, NAMES, since)

    def encode(numbered: Any) -> bytes:
        made = encoder.encode(numbered)
        if encoder.ended:
            reader.finish()
        return made

    headers: Mapping[str, str] = {**STREAM_HEADERS, **_headers(key.session_id, begun.ref)}
    burst = mount.burst_seconds
    return events_response(
        mount, reader, begun.start, encode, 0.0, headers=headers, burst_seconds=burst
    )


def get_run_stream(mount: Mount, thread_id: str, run_id: str) -> Response:
    """GET /langgraph/threads/<thread_id>/runs/<run_id>/stream: the run, behind Last-Event-ID."""
    key, ref, view = find_run(mount, thread_id, run_id)
    if describe_turn(mount, key, view, ref.turn) is None:
        raise RequestError("not_found", "The run is no longer kept.")
    named = [mode for text in request.args.getlist("stream_mode") for mode in _modes(text)]
    modes = frozenset(named) or _ALL_MODES
    since = request.headers.get("Last-Event-ID", "")
    while since[-1:] in MODE_MARKS:
        modes, since = modes | {MODE_MARKS[since[-1]]}, since[:-1]
    reader = mount.attach((key,), lambda slot: _open(mount, key, ref, modes, slot), streams=True)
    return _respond(mount, key, reader, _Begun(ref), modes, _number(since))


def _modes(text: str) -> list[str]:
    """Modes of a query: older clients send a list as JSON."""
    return [part.strip(' []"') for part in text.split(",") if part.strip(' []"')]


def _number(text: str) -> int:
    if not text:
        return -1
    try:
        return int(text)
    except ValueError:
        raise invalid("Last-Event-ID", "Expected the id of one of the run's events") from None


# -- whole answers


def post_run(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/runs: begin a run, and leave it to itself."""
    return _leave_new(mount, session_key(check_session_id(thread_id)), _body(mount))


def post_stateless_run(mount: Mount) -> Response:
    """POST /langgraph/runs: begin a run in a thread of its own, and leave it to itself."""
    return _leave_new(mount, _own_thread(), _body(mount), ephemeral=True)


def _leave_new(mount: Mount, key: SessionKey, body: ThreadRunBody, **more: Any) -> Response:
    begun = _begin(mount, key, _left_alone(body), **more)
    begun.start()
    view = mount.store.state_of(key)
    found = None if view is None else describe_turn(mount, key, view, begun.ref.turn)
    if found is None:
        raise RequestError("not_found", "The thread was deleted.")
    run_url = _headers(key.session_id, begun.ref)["Content-Location"]
    return json_response({**found, "status": "pending"}, headers={"Content-Location": run_url})


def _left_alone(body: ThreadRunBody) -> ThreadRunBody:
    body.on_disconnect = "continue"
    return body


def post_run_wait(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/runs/wait: begin a run, and wait for its state."""
    return _wait_new(mount, session_key(check_session_id(thread_id)), _body(mount))


def post_stateless_wait(mount: Mount) -> Response:
    """POST /langgraph/runs/wait: begin a run in a thread of its own, and wait for its state."""
    return _wait_new(mount, _own_thread(), _body(mount), ephemeral=True)


def _wait_new(mount: Mount, key: SessionKey, body: ThreadRunBody, **more: Any) -> Response:
    _check_exists(mount, key, body)
    if body.command:
        ref = _go_on(mount, key, body).ref
        return _wait(mount, key, ref, attach_turn(mount, key, ref.turn, streams=False))
    opened = open_turn(mount, key, _wanted(mount, key, body, streams=False, **more))
    with opened:
        ref = RunRef(opened.turn, 0, mark_of_turn(mount, key, opened.turn))
        return _wait(mount, key, ref, opened)


def _wait(mount: Mount, key: SessionKey, ref: RunRef, opened: OpenTurn) -> Response:
    outcome = opened.wait()
    headers = _headers(key.session_id, ref)
    if isinstance(outcome, Error):
        failed = {"error": outcome.code, "message": outcome.message}
        return json_response({"__error__": failed}, headers=headers)
    view = view_of(mount, key)
    values: dict[str, Any] = state_of(mount, key, view)["values"]
    waiting = [] if isinstance(outcome, Done) else interrupts_of(mount, key, view)
    interrupts = [{"id": one["id"], "value": one["value"]} for one in waiting]
    return json_response(
        {**values, "__interrupt__": interrupts} if interrupts else values, headers=headers
    )


def get_run_join(mount: Mount, thread_id: str, run_id: str) -> Response:
    """GET /langgraph/threads/<thread_id>/runs/<run_id>/join: wait for the run, and its state."""
    key, ref, _ = find_run(mount, thread_id, run_id)
    return _wait(mount, key, ref, attach_turn(mount, key, ref.turn, streams=False))
