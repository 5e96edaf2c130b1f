"""A site whose agent does what the message's first word says, for clients of the AI SDK."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from flask import Flask

from wsgi_app import AgentHost, Status, Thinking, ToolCall, ToolResult, Turn, TurnError
from wsgi_app.agents.approvals import (
    APPROVAL_SCHEMA,
    approval_prompt,
    approval_schema,
    is_approval,
    refusal_reason,
)
from wsgi_app.events import Token

#: What held turns of this process wait for, by their session; guarded by the interpreter's lock.
GATES: dict[str, threading.Event] = {}


def site() -> Flask:
    """Mount the agent below /agents."""
    app = Flask("site")
    AgentHost(answer).init_app(app, url_prefix="/agents")
    return app


def answer(turn: Turn) -> Iterator[Any]:
    """Do what the message says."""
    return KINDS[turn.message.split()[0]](turn)


def _hello(_: Turn) -> Iterator[Any]:
    yield Status("Looking around.")
    yield Thinking("A greeting.")
    yield from ("Hel", "lo")


def _tool(_: Turn) -> Iterator[Any]:
    yield "Let me add. "
    yield ToolCall("add", "c1", {"a": 1, "b": 1})
    yield ToolCall("read", "c2", {"name": "notes"})
    yield ToolResult("read", "c2", {"error": "no such file"}, status="error")
    yield ToolResult("add", "c1", {"sum": 2})
    yield from ("It is ", "2.")


def _only_tool(_: Turn) -> Iterator[Any]:
    yield ToolCall("clock", "c1", {})
    yield ToolResult("clock", "c1", None)


def _fail(_: Turn) -> Iterator[Any]:
    yield "So far "
    raise TurnError("The shop is closed.")


def _held(turn: Turn) -> Iterator[Any]:
    """Say a little, and the rest once a turn of another session lets it go on."""
    gate = GATES.setdefault(turn.session_id, threading.Event())
    turn.on_cancel(gate.set)
    yield from ("w1 ", "w2 ", "w3 ")
    gate.wait()
    yield from (f"w{number} " for number in range(4, 31))


def _release(turn: Turn) -> Iterator[Any]:
    GATES[turn.message.split()[1]].set()
    yield "released"


def _history(turn: Turn) -> Iterator[Any]:
    yield json.dumps([message["content"] for message in turn.history])


def _approve(turn: Turn) -> Iterator[Any]:
    yield "I shall remove it. "
    yield ToolCall("remove", "c1", {"name": "notes"})
    yield _decided(turn, "c1")
    yield "That was all."


def _approve_two(turn: Turn) -> Iterator[Any]:
    """Two calls at the same time, as a toolbox runs them."""
    for call_id in ("c1", "c2"):
        yield ToolCall("remove", call_id, {"name": call_id})
    waiting: list[Future[ToolResult]] = [
        turn.start_thread(partial(_decided, turn, call_id)) for call_id in ("c1", "c2")
    ]
    for result in waiting:
        yield result.result()
    yield "Both decided."


def _decided(turn: Turn, call_id: str) -> ToolResult:
    given = turn.ask(approval_prompt("remove", "{}"), approval_schema(call_id))
    if is_approval(given):
        return ToolResult("remove", call_id, "removed")
    reason = refusal_reason(given)
    return ToolResult("remove", call_id, {"error": f"not allowed: {reason}"}, status="error")


def _ask(turn: Turn) -> Iterator[Any]:
    """A tool asks, then the agent itself: for a text, and for yes or no."""
    yield ToolCall("pick", "c1", {})
    yield ToolResult("pick", "c1", turn.ask("Which colour?"))
    yield Token(f"Sure: {turn.ask('Go on?', dict(APPROVAL_SCHEMA))}.")


def _delegate(turn: Turn) -> Iterator[Any]:
    """Have sub-agents work: one that asks, and has one of its own, and one that fails."""
    yield "I ask around. "
    with turn.child("finder") as finder:
        finder.emit(Thinking("Hm."))
        finder.emit("I found ")
        finder.emit(f"{finder.ask('Which colour?')} things. ")
        finder.emit(ToolCall("count", "c1", {}))
        with finder.child("reader", "c1") as reader:
            reader.emit(Status("reading"))
            reader.emit("Seven.")
        finder.emit(ToolResult("count", "c1", 7))
    with suppress(ValueError), turn.child("loser") as loser:
        loser.emit("I try. ")
        int("lost")
    yield "It is seven."


KINDS: dict[str, Callable[[Turn], Iterator[Any]]] = {
    "hello": _hello,
    "tool": _tool,
    "only-tool": _only_tool,
    "fail": _fail,
    "held": _held,
    "release": _release,
    "history": _history,
    "approve": _approve,
    "approve-two": _approve_two,
    "ask": _ask,
    "delegate": _delegate,
}
