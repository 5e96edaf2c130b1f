"""The tools of one server that the model gets."""

from __future__ import annotations

import logging
from typing import Final

from mcp import Client
from mcp_types import Tool

from wsgi_app.agents.mcp.endpoint import McpEndpoint
from wsgi_app.agents.mcp.tasks import has_tasks, needs_task
from wsgi_app.errors import TurnError

log = logging.getLogger("wsgi_app")

#: Of one server, which may continue for ever.
MAX_LISTED: Final = 2_000
MAX_PAGES: Final = 200


async def list_tools(client: Client, endpoint: McpEndpoint, name: str) -> list[Tool]:
    """List a server's tools, those wanted; raises TurnError for a wanted one that is not there."""
    listed: list[Tool] = []
    cursor = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        listed += page.tools
        cursor = page.next_cursor
        if cursor is None or len(listed) > MAX_LISTED:
            break
    if cursor is not None or len(listed) > MAX_LISTED:
        log.warning("MCP server %s has more than %d tools", name, MAX_LISTED)
        del listed[MAX_LISTED:]
    _check_names(endpoint, name, {tool.name for tool in listed})
    wanted = endpoint.tools
    tools = [tool for tool in listed if wanted is None or tool.name in wanted]
    if has_tasks(client):
        return tools
    unusable = [tool.name for tool in tools if needs_task(tool)]
    if unusable:
        log.warning("MCP server %s runs no tasks, which these tools need: %s", name, unusable)
    return [tool for tool in tools if not needs_task(tool)]


def _check_names(endpoint: McpEndpoint, name: str, there: set[str]) -> None:
    approved = endpoint.approve if isinstance(endpoint.approve, frozenset) else frozenset()
    missing = sorted(((endpoint.tools or frozenset()) | approved) - there)
    if missing:
        text = f"The MCP server {name!r} has no tool {', '.join(map(repr, missing))}."
        log.error("%s It has: %s", text, ", ".join(sorted(there)))
        raise TurnError(text, {"server": name, "missing_tools": missing})
