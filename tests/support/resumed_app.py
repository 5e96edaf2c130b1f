"""An agent with tools whose effects are counted in a file, outside of the processes that run it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from flask import Flask

from wsgi_app import AgentHost, OpenAIAgent, Tool, Turn, approve, current_call

#: Where effects are written, a line each.
EFFECTS = "TEST_EFFECTS"
#: How often a tool that holds looks whether it may go on.
LOOK_SECONDS = 0.01


def note(kind: str, session: str, name: str) -> None:
    """Write an effect: one line, in one write."""
    call = current_call()
    line = f"{kind} {session} {name} {call.key} {call.attempt} {os.getpid()}\n"
    with Path(os.environ[EFFECTS]).open("ab", buffering=0) as file:
        file.write(line.encode())


def charge(turn: Turn, name: str, how: str = "") -> str:
    """Charge something; ``how``: what the first worker does in it."""
    note("charge", turn.session_id, name)
    _behave(turn, how)
    return f"charged {name}"


def look_up(turn: Turn, name: str, how: str = "") -> str:
    """Look something up, which may be done again."""
    note("look_up", turn.session_id, name)
    _behave(turn, how)
    return f"found {name}"


def order(turn: Turn, name: str, how: str = "") -> str:
    """Order something, again only if the user wants it."""
    note("order", turn.session_id, name)
    _behave(turn, how)
    return f"ordered {name}"


def delegate(turn: Turn, name: str, how: str = "") -> str:
    """Have a sub-agent find something, again if its worker dies."""
    note("delegate", turn.session_id, name)
    with turn.child("finder") as finder:
        finder.emit("Half ")
        _behave(turn, how)
        finder.emit("and half.")
    return f"found {name}"


def pay(turn: Turn, name: str, how: str = "") -> str:
    """Pay, if the user allows it."""
    note("pay", turn.session_id, name)
    _behave(turn, how)
    return f"paid {name}"


def _behave(turn: Turn, how: str) -> None:
    if turn.attempt > 1:
        return
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how.startswith("wait "):
        time.sleep(float(how.split()[1]))
    while how == "hold":
        turn.check()
        time.sleep(LOOK_SECONDS)


def _steps(turn: Turn) -> object:
    """Answer in three steps, each of which counts its effects."""
    for name in ("one", "two", "three"):
        yield f"{name} "

        def step(name: str = name) -> str:
            note("step", turn.session_id, name)
            if name == turn.message:
                _behave(turn, "hold")
            return name.upper()

        yield turn.step(name, step) + " "


def app() -> Flask:
    """Mount the model below /agents, one that does not resume below /plain, steps below /steps."""
    site = Flask("site")
    tools: list[Any] = [charge, Tool(look_up, on_crash="retry"), Tool(order, on_crash="ask")]
    tools += [approve(pay), Tool(delegate, on_crash="retry")]
    model = "test-model"
    AgentHost(OpenAIAgent(model, tools)).init_app(site, url_prefix="/agents")
    AgentHost(OpenAIAgent(model, tools, resume=False)).init_app(site, url_prefix="/plain")
    AgentHost(_steps).init_app(site, url_prefix="/steps")
    return site
