"""A site of gevent's worker class, with an agent of each kind."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from flask import Flask, jsonify
from gevent import monkey, sleep

from tests.support.agents import scripted
from wsgi_app import AgentHost, Turn

_shared = threading.Lock()


def kinds_app() -> Flask:
    """Mount the agents side by side, each below its own prefix."""
    app = Flask("site")
    app.add_url_rule("/page", "page", lambda: "a page of the site")
    app.add_url_rule("/pid", "pid", lambda: jsonify(os.getpid()))
    app.add_url_rule("/patched", "patched", lambda: jsonify(_patched()))
    agents: dict[str, Any] = {
        "agents": scripted,
        "runs": _runs_a_loop,
        "locks": _locks,
    }
    for prefix, agent in agents.items():
        AgentHost(agent).init_app(app, url_prefix=f"/{prefix}")
    return app


def _patched() -> list[str]:
    return [name for name in ("threading", "socket", "select") if monkey.is_module_patched(name)]


def _runs_a_loop(_turn: Turn) -> Iterator[str]:
    """An agent that runs a loop of its own, as sync code with an async client does."""

    async def spell() -> str:
        await asyncio.sleep(0.05)
        return asyncio.get_running_loop().__class__.__name__

    yield asyncio.run(spell())
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        yield " and none after it"


async def _locks(_turn: Turn) -> AsyncIterator[str]:
    """Blocks in the middle of a task, on what another greenlet holds."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    with _shared:
        time.sleep(0.005)  # noqa: ASYNC251 - bad code, that gevent makes cooperative
        same = asyncio.get_running_loop() is loop and asyncio.current_task() is task
    sleep(0)
    yield "same" if same else "another loop"
    await asyncio.sleep(0)


def graph_app() -> Flask:
    """Mount a LangGraph."""
    # It takes its time to load, which the other app shall not.
    from tests.support.graphs import one_node  # noqa: PLC0415 - as said
    from wsgi_app.agents.langgraph import LangGraphAgent  # noqa: PLC0415 - as said

    app = Flask("site")
    AgentHost(LangGraphAgent(one_node(_node))).init_app(app, url_prefix="/graph")
    return app


async def _node(state: dict[str, Any]) -> dict[str, Any]:
    from langchain_core.messages import AIMessage  # noqa: PLC0415 - as said

    await asyncio.sleep(0.01)
    in_thread = await asyncio.to_thread(lambda: threading.current_thread().name)
    said = state["messages"][-1].text
    return {"messages": [AIMessage(f"{said} {in_thread != threading.current_thread().name}")]}
