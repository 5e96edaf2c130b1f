"""Commands: runs that begin, and interrupts that are answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from flask import Response, request

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import RequestError
from wsgi_app.events import InputRequest, encode_json
from wsgi_app.store.base import SessionKey
from wsgi_app.web.client_tools import takes_attachments
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, parse_body
from wsgi_app.web.steer import new_steer_id, steer_turn
from wsgi_app.web.turns import begin_turn
from wsgi_app.wires.langgraph.encode.questions import answer_value
from wsgi_app.wires.langgraph.ids import CheckpointRef, RunRef
from wsgi_app.wires.langgraph.note import TurnNote
from wsgi_app.wires.langgraph.request.commands import (
    STRATEGIES,
    CommandBody,
    IfBusy,
    InjectParams,
    RespondParams,
    ResponseEntry,
    RunParams,
)
from wsgi_app.wires.langgraph.request.input import RunInput, read_input
from wsgi_app.wires.langgraph.routes.feed import mark_of_turn, note_of
from wsgi_app.wires.langgraph.routes.threads import interrupts_of
from wsgi_app.wires.shared.questions import events_so_far, find_behind

T = TypeVar("T")


#: Commands of the protocol that have no meaning over HTTP, or none here.
_OTHERS: Final = (
    *("subscription.subscribe", "subscription.unsubscribe", "subscription.reconnect"),
    *("agent.getTree", "state.get", "state.listCheckpoints", "state.fork"),
)


class CommandError(Exception):
    """A command that is refused, by the protocol's name for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def post_commands(mount: Mount, thread_id: str) -> Response:
    """POST /langgraph/threads/<thread_id>/commands: start a run, or answer an interrupt."""
    key = session_key(check_session_id(thread_id))
    body = parse_body(request, CommandBody, mount.settings.max_body_bytes)
    try:
        result = _COMMANDS.get(body.method, _refuse)(mount, key, body)
    except CommandError as error:
        refused = {"type": "error", "id": body.id, "error": error.code, "message": str(error)}
        return json_response(refused)
    # What the events' numbers are has nothing to do with the request: no cursor is moved by it.
    meta = {"applied_through_seq": 0}
    return json_response({"type": "success", "id": body.id, "result": result, "meta": meta})


def _refuse(mount: Mount, key: SessionKey, body: CommandBody) -> dict[str, Any]:
    del mount, key
    reason = "is not served over HTTP" if body.method in _OTHERS else "is unknown"
    raise CommandError("unknown_command", f"The command {body.method[:100]} {reason}.")


def _read(body: CommandBody, kind: type[T]) -> T:
    try:
        return msgspec.convert(body.params, kind)
    except msgspec.ValidationError as error:
        raise CommandError("invalid_argument", str(error)) from None


# -- a run


def _start_run(mount: Mount, key: SessionKey, body: CommandBody) -> dict[str, Any]:
    run = start_run(mount, key, _read(body, RunParams))
    return {"run_id": run.id}


def start_run(mount: Mount, key: SessionKey, params: RunParams) -> RunRef:
    """Begin the turn that a client asks for, and let it run; raises RequestError, CommandError."""
    wanted = wanted_of(mount, key, params)
    begun = begin_turn(mount, key, wanted)
    if begun.run is not None:
        begun.run.start()
        return RunRef(begun.turn, 0, begun.run.mark)
    return RunRef(begun.turn, 0, mark_of_turn(mount, key, begun.turn))


def wanted_of(mount: Mount, key: SessionKey, params: RunParams) -> TurnRequest:
    """The turn that a client asks for; raises CommandError."""
    if params.strategy not in STRATEGIES:
        raise CommandError("invalid_argument", "Expected another multitask_strategy")
    regenerates = _regenerates(mount, key, params)
    if params.input is None and regenerates:
        read = _newest_input(mount, key)
    else:
        try:
            read = read_input(params.input, takes_attachments=takes_attachments(mount))
        except ValueError as error:
            raise CommandError("invalid_argument", str(error)) from None
    metadata = params.metadata or {}
    note = _note_for(mount, key, params, read.message_id, regenerates=regenerates)
    configurable = (params.config or {}).get("configurable")
    return TurnRequest(
        message=read.message,
        message_id=note.message_id,
        metadata={
            **(configurable if isinstance(configurable, dict) else {}),
            **metadata,
            **({"input": read.values} if read.values else {}),
            "assistant_id": params.assistant_id,
        },
        on_disconnect="continue",
        if_busy=_if_busy(mount, key, params),
        regenerates=regenerates,
        attachments=read.attachments,
        note=note.encode(),
    )


def _if_busy(mount: Mount, key: SessionKey, params: RunParams) -> IfBusy:
    """What becomes of the run that is there; one that waits for an answer makes way."""
    view = mount.store.state_of(key)
    waits = view is not None and bool(interrupts_of(mount, key, view))
    return "interrupt" if waits else STRATEGIES[params.strategy]


def _note_for(
    mount: Mount, key: SessionKey, params: RunParams, message_id: str, *, regenerates: bool
) -> TurnNote:
    """What is kept with the run.

    It begins behind the beginning of the one before, on whichever worker that was: clients tell by
    it which events are older than the state that they have. A message that comes once more is
    another one, unless it takes its own place: the messages that answer it are named after it.
    """
    now = int(time.time() * 1000)
    view = mount.store.state_of(key)
    before = None if view is None else note_of(mount, key, view.turn)
    if before is not None:
        now = max(now, before.started_at + 2)
        if before.message_id == message_id and not regenerates:
            message_id = ""
    strategy = params.strategy or ""
    return TurnNote(now, params.assistant_id, message_id, params.metadata or {}, strategy)


def _regenerates(mount: Mount, key: SessionKey, params: RunParams) -> bool:
    """Whether the run takes the place of the thread's newest turn; raises CommandError."""
    if params.checkpoint_id is None:
        return False
    view = mount.store.state_of(key)
    try:
        ref = CheckpointRef.parse(params.checkpoint_id)
    except ValueError:
        ref = None
    if view is not None and ref is not None:
        if ref == ref._replace(turn=view.turn).last():
            return False  # it is the newest state
        if ref.turn == view.turn or ref == ref._replace(turn=view.turn - 1).last():
            return True
    raise CommandError(
        "no_such_checkpoint", "Only the thread's newest exchange can be begun again."
    )


def _newest_input(mount: Mount, key: SessionKey) -> RunInput:
    """The newest message once more."""
    view = mount.store.history(key)
    asked = [] if view is None else [one for one in view.messages if one["role"] == "user"]
    if not asked:
        raise CommandError("no_such_checkpoint", "The thread has no message to answer again.")
    return RunInput(asked[-1]["content"], str(asked[-1].get("id", "")), (), {})


# -- an answer


def _respond(mount: Mount, key: SessionKey, body: CommandBody) -> dict[str, Any]:
    read = _read(body, RespondParams)
    if read.update or read.goto:
        raise CommandError("not_supported", "An answer changes no state here.")
    try:
        entries = read.entries()
    except ValueError as error:
        raise CommandError("invalid_argument", str(error)) from None
    if not give_answers(mount, key, entries):
        raise CommandError("no_such_interrupt", "No interrupt waits for this answer.")
    return {}


def give_answers(mount: Mount, key: SessionKey, entries: list[ResponseEntry]) -> bool:
    """Give the thread the answer that it waits for; False if it waits for none of these."""
    asked = {one.interrupt_id: one.response for one in entries}
    question = find_question(mount, key, lambda one: one.request_id in asked)
    if question is None:
        return False
    value = answer_value(question, asked[question.request_id])
    try:
        mount.store.post_input(key, question.request_id, encode_json(value))
    except RequestError as error:
        if error.code != "no_pending_input":
            raise
        return False
    return True


def find_question(
    mount: Mount, key: SessionKey, fits: Callable[[InputRequest], bool]
) -> InputRequest | None:
    """The newest question of the running turn that fits; whether it waits is not known."""
    view = mount.store.state_of(key)
    if view is None or not view.active_turns:
        return None
    turn = view.active_turns[0]

    def look() -> InputRequest | None:
        found = None
        for numbered in events_so_far(mount, key, turn):
            if isinstance(numbered.event, InputRequest) and fits(numbered.event):
                found = numbered.event
        return found

    return find_behind(mount, key, turn, look)


def _inject(mount: Mount, key: SessionKey, body: CommandBody) -> dict[str, Any]:
    """Say something to the run that continues, where the hosted agent listens."""
    read = _read(body, InjectParams)
    try:
        steer_turn(mount, key, new_steer_id(None), read.message.content)
    except RequestError as error:
        if error.code != "not_steerable":
            raise
        raise CommandError("no_such_run", error.message) from None
    return {}


_COMMANDS: Final[dict[str, Callable[[Mount, SessionKey, CommandBody], dict[str, Any]]]] = {
    "run.start": _start_run,
    "input.respond": _respond,
    "input.inject": _inject,
}
