"""This host, in a Flask app, as README.md tells, with a page of the app's own."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask

from bench.servers import paced
from wsgi_app import AgentHost, OpenAIAgent, Turn

app = Flask(__name__)


@app.get("/page")
def page() -> str:
    """Answer as a page of the site does."""
    return "<p>hello"


def answer(turn: Turn) -> Iterator[str]:
    """Answer without a model."""
    return paced.answer(turn.message)


AgentHost(
    answer if paced.is_asked_for() else OpenAIAgent(model="bench"),
    tokens="bench=bench",
    # One tenant opens all streams, which these bounds are there to prevent.
    rate_limit="1000000/second",
    max_turns=100_000,
    max_streams=100_000,
    max_turns_per_tenant=100_000,
    max_readers_per_tenant=100_000,
    max_readers_per_turn=100_000,
    max_sessions_per_tenant=1_000_000,
    # A turn that nobody reads ends at once: what `reactions` measures.
    orphan_seconds=0,
    turn_timeout_seconds=600,
).init_app(app)
