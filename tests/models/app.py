"""A site whose agents are one model behind each of the two APIs."""

from __future__ import annotations

import json
import os
from typing import Literal

from flask import Flask
from openai import AsyncOpenAI

from wsgi_app import AgentHost, OpenAIAgent

APIS: tuple[Literal["chat", "responses"], ...] = ("chat", "responses")
SYSTEM = "Answer briefly."


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def make() -> Flask:
    """Mount an agent for each API, below its name."""
    app = Flask("site")
    model, headers = os.environ["SITE_MODEL"], json.loads(os.environ["SITE_HEADERS"])
    for api in APIS:
        client = AsyncOpenAI(default_headers=headers) if headers else None
        agent = OpenAIAgent(model, tools=[add], system=SYSTEM, client=client, api=api)
        AgentHost(agent).init_app(app, url_prefix=f"/{api}")
    return app
