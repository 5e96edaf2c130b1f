"""An agent that does what its message says, for clients that send nothing but messages.

A message is a JSON list of steps, each an object with one or two keys, done in order: ``say`` a
token; ``count`` so many tokens ``w1 w2 …``, ``pause`` seconds between them; ``think``; ``status``;
``tool`` with its output (``input``, ``failed``); ``ask`` a prompt (``schema``), whose answer is
said as JSON; ``fail`` with this message; ``hold`` waits until the turn has ended.
Any other message is said back.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask
from msgspec.structs import replace

from wsgi_app import AgentHost, Status, Thinking, ToolCall, ToolResult, Turn, TurnError


def obedient(turn: Turn) -> Iterator[Any]:
    """Do what the message says."""
    if not turn.message.startswith("["):
        yield f"You said: {turn.message}"
        return
    for step in json.loads(turn.message):
        (name,) = step.keys() & _STEPS.keys()
        yield from _STEPS[name](turn, step)


def obedient_app() -> Flask:
    """Mount the obedient agent below /agents."""
    app = Flask("site")
    AgentHost(obedient).init_app(app, url_prefix="/agents")
    return app


def _wait(turn: Turn, seconds: float) -> None:
    ended = threading.Event()
    turn.on_cancel(ended.set)
    ended.wait(seconds)
    turn.check()


def _count(turn: Turn, step: dict[str, Any]) -> Iterator[str]:
    for number in range(1, step["count"] + 1):
        yield f"w{number} "
        _wait(turn, step.get("pause", 0))


def _use(_: Turn, step: dict[str, Any]) -> Iterator[Any]:
    yield ToolCall(step["tool"], "call-1", step.get("input", {}))
    result = ToolResult(step["tool"], "call-1", step.get("output"))
    yield replace(result, status="error") if step.get("failed") else result


def _ask(turn: Turn, step: dict[str, Any]) -> Iterator[str]:
    yield json.dumps(turn.ask(step["ask"], step.get("schema")))


def _fail(_: Turn, step: dict[str, Any]) -> Iterator[Any]:
    raise TurnError(step["fail"])


def _hold(turn: Turn, _: dict[str, Any]) -> Iterator[Any]:
    _wait(turn, 3600)
    yield from ()


_STEPS: dict[str, Callable[[Turn, dict[str, Any]], Iterator[Any]]] = {
    "say": lambda _, step: iter([step["say"]]),
    "think": lambda _, step: iter([Thinking(step["think"])]),
    "status": lambda _, step: iter([Status(step["status"])]),
    "count": _count,
    "tool": _use,
    "ask": _ask,
    "fail": _fail,
    "hold": _hold,
}
