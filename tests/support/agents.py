"""An agent that does what the request's metadata says, for servers in other processes.

``metadata`` is ``{"kind": …, "steps": […]}``. Kinds: ``generator`` (default), ``async``,
``nothing``, ``text``, ``number``, ``coroutine``, ``list`` (all steps done before it is returned),
``emitter`` (an async function that yields nothing). A step is an object with one key:

``text`` a token; ``blobs`` so many tokens of 60,000 characters; ``tokens`` a number of tokens
``w1 w2 …``, ``pause`` seconds between them;
``wait`` seconds, ended by a cancel; ``sleep`` seconds, deaf to it; ``hold`` waits until the turn
has ended; ``tool`` an exchange with this name and output; ``events`` a list of event kinds;
``rubbish`` something no agent may send; ``raise`` an exception by name; ``exit`` a status; ``ask``
a prompt, whose answer is sent as a token; ``form`` the same with ``{"prompt", "schema"}``, the
answer as JSON; ``status`` a status line; ``usage`` a number of tokens; ``ignore_cancel`` goes on
sending for so many tokens, whatever is raised; ``context`` tells what the agent sees of Flask;
``tell`` sends the turn's attribute of this name as JSON; ``child`` has a sub-agent, ``{"name",
"steps", "call_id"?}``, do steps; ``stubborn`` yields so many tokens even
while it is closed.

What a test shall know of the inside is printed as ``observed <name> <monotonic seconds> <more>``.
"""

from __future__ import annotations

import asyncio
import builtins
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

from flask import current_app, g, has_request_context

from wsgi_app import Status, Thinking, ToolCall, ToolResult, Turn, TurnError, UpstreamError, Usage
from wsgi_app.errors import TurnCancelled
from wsgi_app.events import Done, RequestedCall, Token

#: In the text of every exception raised here; no client may see it.
SECRET = "secret-in-the-text"
#: Set by a site's own code for each request.
REQUEST_NAME: ContextVar[str] = ContextVar("request_name", default="none")

RUBBISH: dict[str, Callable[[], Any]] = {
    "number": lambda: 42,
    "none": lambda: None,
    "bytes": lambda: b"bytes",
    "terminal": lambda: Done("forged", "s", "1"),
    "tool_output": lambda: ToolResult("t", "c", object()),
    "token_content": lambda: Token(5),  # type: ignore[arg-type] # what is tested
    "tool_input": lambda: ToolCall("t", "c", "no object"),  # type: ignore[arg-type] # what is tested
    "deep": lambda: ToolResult("t", "c", _deep()),
}
BLOB_CHARS = 60_000


def observe(name: str, *more: object) -> None:
    """Tell the test something, with the time."""
    line = " ".join(map(str, ("observed", name, time.monotonic(), *more)))
    # In one piece: other threads, and the server, write to the same file.
    os.write(2, f"{line}\n".encode())


def scripted(turn: Turn) -> Any:
    """Do what the request says."""
    observe("started", turn.session_id)
    turn.on_cancel(lambda: observe("cancelled", turn.session_id))
    steps = turn.metadata.get("steps", [{"text": turn.message}])
    kind = turn.metadata.get("kind", "generator")
    if kind == "async":
        return _run_async(turn, steps)
    if kind == "coroutine":
        return _coroutine(turn)
    if kind == "list":
        return list(_run(turn, steps))
    if kind == "emitter":
        return _emit_all(turn, steps)
    return {"nothing": None, "text": turn.message, "number": 42}.get(kind, _run(turn, steps))


def told(turn: Turn) -> Iterator[Any]:
    """Do what the message says: a JSON list of steps; any other message comes back.

    For wires whose clients send nothing but messages.
    """
    steps = json.loads(turn.message) if turn.message.startswith("[") else [{"text": turn.message}]
    observe("started", turn.session_id)
    turn.on_cancel(lambda: observe("cancelled", turn.session_id))
    return _run(turn, steps)


def _run(turn: Turn, steps: list[dict[str, Any]]) -> Iterator[Any]:
    try:
        for step in steps:
            yield from _step(turn, step)
    finally:
        observe("closed", turn.session_id)


async def _run_async(turn: Turn, steps: list[dict[str, Any]]) -> AsyncIterator[Any]:
    try:
        for step in steps:
            if "tokens" in step:
                for number in range(1, step["tokens"] + 1):
                    yield f"w{number} "
                    await asyncio.sleep(step.get("pause", 0))
            elif "wait" in step or "hold" in step:
                await asyncio.sleep(step.get("wait", 3600))
            elif "ask" in step:
                yield str(await turn.ask_async(step["ask"]))
            else:
                for item in _step(turn, step):
                    yield item
    finally:
        observe("closed", turn.session_id)


async def _coroutine(turn: Turn) -> str:
    await asyncio.sleep(0)
    return turn.message


async def _emit_all(turn: Turn, steps: list[dict[str, Any]]) -> None:
    async for item in _run_async(turn, steps):
        turn.emit(item)


def _step(turn: Turn, step: dict[str, Any]) -> Iterator[Any]:
    ((name, value),) = [item for item in step.items() if item[0] != "pause"]
    if name == "text":
        yield value
    elif name == "blobs":
        yield from [chr(ord("a") + number % 26) * BLOB_CHARS for number in range(value)]
    elif name == "tokens":
        yield from _tokens(turn, value, step.get("pause", 0))
    elif name in ("wait", "hold"):
        _wait(turn, value if name == "wait" else 3600)
    elif name == "events":
        yield from _events(value)
    elif name == "rubbish":
        yield RUBBISH[value]()
    else:
        yield from _act(turn, name, value)


def _act(turn: Turn, name: str, value: Any) -> Iterator[Any]:
    if name == "tool":
        yield ToolCall(value["name"], "call-1", value.get("input", {}))
        if "child" in value:
            _have_done(turn, {**value["child"], "call_id": "call-1"})
        status = value.get("status", "complete")
        yield ToolResult(value["name"], "call-1", value.get("output"), status)
    elif name == "stubborn":
        yield from _go_on_yielding(value)
    elif name in SAYING:
        yield SAYING[name](turn, value)
    else:
        DOING[name](turn, value)


def _tokens(turn: Turn, count: int, pause_seconds: float) -> Iterator[str]:
    for number in range(1, count + 1):
        yield f"w{number} "
        if pause_seconds:
            _wait(turn, pause_seconds)


def _wait(turn: Turn, seconds: float) -> None:
    ended = threading.Event()
    turn.on_cancel(ended.set)
    ended.wait(seconds)
    turn.check()


def _events(kinds: list[str]) -> Iterator[Any]:
    known = {"status": Status("busy"), "thinking": Thinking("hm")}
    for kind in kinds:
        yield known[kind]


def _ignore_cancel(turn: Turn, count: int) -> None:
    observe("deaf", turn.session_id)
    while not turn.cancelled:
        time.sleep(0.01)
    for _ in range(count):
        try:
            turn.emit("late ")
        except BaseException as error:  # noqa: BLE001 - an agent that goes on whatever it is told
            observe("refused", type(error).__name__)
    observe("went_on", turn.session_id)


def _go_on_yielding(count: int) -> Iterator[str]:
    for _ in range(count):
        try:
            yield "again "
            time.sleep(0.01)
        except GeneratorExit:
            observe("told to close")


def _exception(name: str) -> BaseException:
    known: dict[str, BaseException] = {
        "TurnError": TurnError("The shop is closed.", {"opens": "9:00"}),
        "UpstreamError": UpstreamError("The model provider failed.", {"status": 529}),
        "step_limit": TurnError("Too many steps.", code="step_limit"),
        "odd details": TurnError("The shop is closed.", {"opens": object()}),
        "odd message": TurnError(object()),  # type: ignore[arg-type] # what is tested
        "TurnCancelled": TurnCancelled(SECRET),
        "CancelledError": asyncio.CancelledError(SECRET),
    }
    if name in known:
        return known[name]
    if name == "odd code":
        return TurnError("The shop is closed.", code="shop_closed")
    made: BaseException = getattr(builtins, name)(SECRET)
    return made


def _raise(_: Turn, name: str) -> None:
    raise _exception(name)


def _context(_turn: Turn, _: Any) -> str:
    facts = {"app": current_app.name, "request": has_request_context(), "g": "mark" in g}
    return json.dumps({**facts, "name": REQUEST_NAME.get()})


def _have_done(turn: Turn, child: dict[str, Any]) -> None:
    with turn.child(child["name"], child.get("call_id")) as inner:
        for step in child["steps"]:
            for item in _step(inner, step):
                inner.emit(item)


#: Steps that send what they come to.
SAYING: dict[str, Callable[[Turn, Any], Any]] = {
    "status": lambda _, content: Status(content),
    "ask": lambda turn, prompt: str(turn.ask(prompt)),
    "page": lambda turn, call: str(turn.call_client([RequestedCall(**call)])[0].output),
    "form": lambda turn, form: json.dumps(turn.ask(form["prompt"], form["schema"])),
    "tell": lambda turn, name: json.dumps(getattr(turn, name), default=str),
    "context": _context,
}
#: Steps that send nothing.
DOING: dict[str, Callable[[Turn, Any], object]] = {
    "sleep": lambda _, seconds: time.sleep(seconds),
    "raise": _raise,
    "exit": lambda _, status: sys.exit(status),
    "usage": lambda turn, count: turn.add_usage(Usage(count, count, 2 * count)),
    "ignore_cancel": _ignore_cancel,
    "child": _have_done,
}


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep
