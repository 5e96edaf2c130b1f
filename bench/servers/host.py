"""This host: its own agent for models, in a Flask app, as README.md tells."""

from __future__ import annotations

from flask import Flask

from wsgi_app import AgentHost, OpenAIAgent

app = Flask(__name__)
AgentHost(
    OpenAIAgent(model="bench"),
    tokens="bench=bench",
    # One tenant opens all streams, which these bounds are there to prevent.
    max_turns_per_tenant=100_000,
    max_readers_per_tenant=100_000,
    max_readers_per_turn=100_000,
    rate_limit="1000000/second",
).init_app(app)
