"""All kinds of agents that ask a model, each below its name."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from flask import Flask

from tests.support.agent_kinds import KINDS, Kinds
from wsgi_app import AgentHost


def prefix_of(kind: str) -> str:
    """Where a kind is mounted."""
    return "/" + kind.replace(" ", "-")


def app() -> Flask:
    """Mount them."""
    site = Flask("site")
    upstream: Any = SimpleNamespace(url=os.environ["OPENAI_BASE_URL"])
    for kind in KINDS:
        agent = Kinds(upstream).make(kind, [])
        AgentHost(agent).init_app(site, url_prefix=prefix_of(kind))
    return site
