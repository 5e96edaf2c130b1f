"""MCP servers as a source of tools for the built-in agent."""

from wsgi_app.agents.mcp.server import McpServer

__all__ = ["McpServer"]
