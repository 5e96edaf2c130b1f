"""A site for tests of the OpenAPI document, whose agent does a bit of everything at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from flask import Flask

from wsgi_app import (
    AgentHost,
    Status,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    TurnError,
    UpstreamError,
)

SETTINGS: Final = {
    "AGENT_TOKENS": "dev=demo-tenant scopes=chat+read+cancel+admin",
    "AGENT_ORPHAN_SECONDS": "1",
    "AGENT_DRAIN_SECONDS": "1",
    "AGENT_RATE_LIMIT": "100000/minute",
}


def openapi_app() -> Flask:
    """Mount the agent below /agents."""
    app = Flask("site")
    AgentHost(agent, admin=True).init_app(app, url_prefix="/agents")
    return app


def agent(turn: Turn) -> Iterator[Any]:
    """Do what the message names, or what its sum chooses."""
    kinds = list(KINDS)
    chosen = KINDS.get(
        turn.message, KINDS[kinds[zlib.crc32(repr(turn.message).encode()) % len(kinds)]]
    )
    yield from chosen(turn)


def _answer(turn: Turn) -> Iterator[Any]:
    yield Status("I look.")
    yield Thinking("Hm.")
    yield ToolCall("look", "call-1", {"at": "all"})
    yield ToolResult("look", "call-1", {"found": [1, None]})
    yield f"You said {turn.message[:20]}."


def _ask(turn: Turn) -> Iterator[Any]:
    yield "So. "
    yield str(turn.ask("Which?", {"type": "string"}))


def _fail(turn: Turn) -> Iterator[Any]:
    yield ToolCall("look", "call-1", {})
    yield ToolResult("look", "call-1", "no", "error")
    raise TurnError("It failed.", {"turn": turn.turn_id})


def _upstream(_turn: Turn) -> Iterator[Any]:
    yield "a"
    raise UpstreamError("The provider failed.", {"status": 500})


KINDS: Final[dict[str, Callable[[Turn], Iterator[Any]]]] = {
    "answer": _answer,
    "ask": _ask,
    "fail": _fail,
    "upstream": _upstream,
}
