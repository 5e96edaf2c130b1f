"""The host under aegra's tests: its graph that needs no model, and an agent that echoes."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from pathlib import Path
from typing import Any, Final

from flask import Flask

from wsgi_app import AgentHost, Turn
from wsgi_app.agents.langgraph import LangGraphAgent

#: Names the file of the graph.
GRAPH_VARIABLE: Final = "TEST_STRESS_GRAPH"
#: What its tests ask for at length is long enough to be stopped.
LONG: Final = ("long", "essay", "detailed", "story", "count")


class Graphs:
    """Answers by the assistant that the client names. Used by the agents loop alone."""

    def __init__(self) -> None:
        spec = importlib.util.spec_from_file_location("stress", Path(os.environ[GRAPH_VARIABLE]))
        if spec is None or spec.loader is None:
            raise ImportError("no graph")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._stress = LangGraphAgent(module.graph)

    async def __call__(self, turn: Turn) -> None:
        """Answer a turn."""
        if turn.metadata.get("assistant_id") == "stress_test":
            await self._stress(turn)
            return
        is_long = any(word in turn.message.lower() for word in LONG)
        for number in range(400 if is_long else 5):
            turn.emit(f"word {number} ")
            await asyncio.sleep(0.02)


def authenticate(_: Any) -> str:
    """Everybody is one tenant: aegra's tests bring no login."""
    return "aegra"


def site() -> Flask:
    """Mount the host."""
    app = Flask("aegra")
    AgentHost(Graphs(), authenticate=authenticate).init_app(app, url_prefix="/agents")
    return app
