"""Applications whose agent is a model; the model is the scripted provider."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, current_app

from wsgi_app import AgentHost, OpenAIAgent, Turn

SYSTEM = "Answer briefly."
MAX_STEPS = 4


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


async def add_later(a: int, b: int) -> int:
    """Add two integers on the loop."""
    await asyncio.sleep(0)
    return a + b


def where(turn: Turn) -> dict[str, str]:
    """Tell where this runs."""
    thread = threading.current_thread().name
    return {"app": current_app.name, "thread": thread, "session": turn.session_id}


def fail() -> None:
    """Fail."""
    raise RuntimeError("the table is missing")


def tools_app() -> Flask:
    """Mount a model with tools below /agents."""
    app = Flask("site")
    tools: list[Callable[..., Any]] = [add, add_later, where, fail]
    agent = OpenAIAgent(model="test-model", tools=tools, system=SYSTEM, max_steps=MAX_STEPS)
    AgentHost(agent).init_app(app, url_prefix="/agents")
    return app


def book(turn: Turn) -> str:
    """Book a room until the turn's end."""
    turn.on_cancel(lambda: logging.getLogger("site").warning("the booking is withdrawn"))
    return "booked"


def booking_app() -> Flask:
    """Mount a model with a tool that wants to hear of the turn's end."""
    app = Flask("site")
    agent = OpenAIAgent(model="test-model", tools=[book], system=SYSTEM)
    AgentHost(agent).init_app(app, url_prefix="/agents")
    return app


def made_app() -> Flask:
    """Mount an agent of text below /agents, which a factory makes."""

    def echo(turn: Turn) -> Iterator[str]:
        yield turn.message

    app = Flask("site")
    AgentHost(lambda: echo).init_app(app, url_prefix="/agents")
    return app
