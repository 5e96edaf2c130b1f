"""A site whose agents are one model behind each of the two APIs."""

from __future__ import annotations

import os
from typing import Literal

from flask import Flask

from wsgi_app import AgentHost, OpenAIAgent

APIS: tuple[Literal["chat", "responses"], ...] = ("chat", "responses")
SYSTEM = "Answer briefly."


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def make() -> Flask:
    """Mount an agent for each API, below its name."""
    app = Flask("site")
    for api in APIS:
        agent = OpenAIAgent(os.environ["SITE_MODEL"], tools=[add], system=SYSTEM, api=api)
        AgentHost(agent).init_app(app, url_prefix=f"/{api}")
    return app
