"""This host, in a Flask app, as README.md tells, with a page of the app's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Final

from flask import Flask

from bench.servers import paced
from wsgi_app import AgentHost, OpenAIAgent, Turn

#: An agent that sleeps longer is to hear that its turn has ended, or it counts as stuck.
LONG_SECONDS: Final = 1.0

app = Flask(__name__)


@app.get("/page")
def page() -> str:
    """Answer as a page of the site does."""
    return "<p>hello"


def answer(turn: Turn) -> Iterator[str]:
    """Answer without a model."""
    if paced.PACE_SECONDS < LONG_SECONDS:
        return paced.answer(turn.message)
    ended = threading.Event()
    turn.on_cancel(ended.set)
    return paced.answer(turn.message, ended.wait)


AgentHost(
    answer if paced.is_asked_for() else OpenAIAgent(model=os.environ.get("BENCH_MODEL", "bench")),
    tokens="bench=bench",
    # One tenant opens all streams, which these bounds are there to prevent.
    rate_limit="1000000/second",
    max_turns=100_000,
    max_streams=100_000,
    max_turns_per_tenant=100_000,
    max_readers_per_tenant=100_000,
    max_slots_per_tenant=100_000,
    max_readers_per_turn=100_000,
    max_sessions_per_tenant=1_000_000,
    # A turn that nobody reads ends at once: what `reactions` measures.
    orphan_seconds=0,
    turn_timeout_seconds=600,
).init_app(app)
