"""An MCP server whose tools' effects are in a file, as those of tests.support.resumed_app."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("effects", log_level="CRITICAL")


def note(kind: str, session: str, name: str) -> None:
    """Write an effect: one line, in one write; a server knows no key and no attempt."""
    with Path(os.environ["TEST_EFFECTS"]).open("ab", buffering=0) as file:
        file.write(f"{kind} {session} {name} - 1 {os.getpid()}\n".encode())


def run(kind: str, session: str, name: str, how: str) -> str:
    """Have an effect, and take long the first time."""
    path = Path(os.environ["TEST_EFFECTS"])
    is_first = f"{kind} {session} {name} " not in (path.read_text() if path.exists() else "")
    note(kind, session, name)
    if how and is_first:
        time.sleep(float(how.split()[1]))
    return f"{kind} {name}"


@server.tool()
def charge(session: str, name: str, how: str = "") -> str:
    """Charge something."""
    return run("charge", session, name, how)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def look_up(session: str, name: str, how: str = "") -> str:
    """Look something up."""
    return run("look_up", session, name, how)


if __name__ == "__main__":
    server.run("stdio")
