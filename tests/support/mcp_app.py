"""An application whose model uses a real MCP server's tools; ``NOTES`` is the server's.

``MCP_PROGRAM`` names another program of this folder, ``MCP_URL`` a server over HTTP beside it.
"""

from __future__ import annotations

import os
import sys

from flask import Flask

from tests.support.processes import ROOT
from wsgi_app import AgentHost, OpenAIAgent
from wsgi_app.agents.mcp import McpServer


def make_agent() -> OpenAIAgent:
    """A model with the tools of a program."""
    program = str(ROOT / "tests/support" / os.environ.get("MCP_PROGRAM", "mcp_server.py"))
    env = {"PYTHONPATH": str(ROOT), "NOTES": os.environ["NOTES"]}
    servers = [McpServer.stdio(sys.executable, [program], env)]
    if "MCP_URL" in os.environ:
        servers.append(McpServer.http(os.environ["MCP_URL"], name="site"))
    return OpenAIAgent("test-model", tools=servers)


def mcp_app() -> Flask:
    """Mount the model below /agents."""
    app = Flask("site")
    AgentHost(make_agent()).init_app(app, url_prefix="/agents")
    return app
