"""A site whose model drives a browser and counts its thoughts, with public MCP servers."""

from __future__ import annotations

from flask import Flask

from tests.agents_real.mcp_servers import browser_server, node_server
from wsgi_app import AgentHost, OpenAIAgent


def mcp_app() -> Flask:
    """Mount the model below /agents."""
    app = Flask("site")
    tools = [
        browser_server(tools=["browser_navigate", "browser_snapshot"]),
        node_server("thinking"),
    ]
    AgentHost(OpenAIAgent("test-model", tools=tools)).init_app(app, url_prefix="/agents")
    return app
