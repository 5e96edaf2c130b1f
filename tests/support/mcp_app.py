"""An application whose model uses a real MCP server's tools; ``NOTES`` is the server's."""

from __future__ import annotations

import os
import sys

from flask import Flask

from tests.support.processes import ROOT
from wsgi_app import AgentHost, OpenAIAgent
from wsgi_app.agents.mcp import McpServer


def make_agent() -> OpenAIAgent:
    """A model with the tools of a program."""
    program = str(ROOT / "tests/support/mcp_server.py")
    env = {"PYTHONPATH": str(ROOT), "NOTES": os.environ["NOTES"]}
    return OpenAIAgent("test-model", tools=[McpServer.stdio(sys.executable, [program], env)])


def mcp_app() -> Flask:
    """Mount the model below /agents."""
    app = Flask("site")
    AgentHost(make_agent()).init_app(app, url_prefix="/agents")
    return app
