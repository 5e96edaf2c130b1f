"""Public MCP servers, at the versions that are named here and in mcp/package-lock.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.sites.environments import ENVIRONMENTS, environment
from tests.support.node import install_packages, node_program
from tests.support.processes import install_program
from wsgi_app.agents.mcp import McpServer

HERE: Final = Path(__file__).parent / "mcp"
_MODULES: Final = HERE / "node_modules"
_SCRIPTS: Final = {
    "everything": "@modelcontextprotocol/server-everything/dist/index.js",
    "filesystem": "@modelcontextprotocol/server-filesystem/dist/index.js",
    "memory": "@modelcontextprotocol/server-memory/dist/index.js",
    "thinking": "@modelcontextprotocol/server-sequential-thinking/dist/index.js",
    "playwright": "@playwright/mcp/cli.js",
}
_PYTHON: Final = """
mcp-server-fetch==2026.10.24
mcp-server-git==2026.10.19
mcp-server-time==2026.10.19
"""
#: The SDK of Python before the newest protocol, with which most servers are made.
OLD_SDK: Final = "mcp==1.30.0"
_SQLITE: Final = f"mcp-server-sqlite==2025.4.25\n{OLD_SDK}\n"


def node_command(name: str, args: Sequence[str] = ()) -> list[str]:
    """The command of a server from npm."""
    install_packages(HERE)
    return [str(node_program()), str(_MODULES / _SCRIPTS[name]), *args]


def node_server(
    name: str, args: Sequence[str] = (), env: Mapping[str, str] | None = None, **options: Any
) -> McpServer:
    """A server from npm."""
    command, *rest = node_command(name, args)
    return McpServer.stdio(command, rest, env, name=name, **options)


def python_server(name: str, args: Sequence[str] = (), **options: Any) -> McpServer:
    """A server from PyPI."""
    of = ("mcp-sqlite", _SQLITE) if name == "sqlite" else ("mcp-servers", _PYTHON)
    made = environment(*of, with_host=False)
    return McpServer.stdio(str(made / "bin" / f"mcp-server-{name}"), args, {}, name=name, **options)


def browser_command() -> list[str]:
    """The command of the server that drives a browser, with Debian's chromium."""
    program = install_program("chromium", "chromium")
    args = ["--headless", "--isolated", "--no-sandbox", f"--executable-path={program}"]
    args.append(f"--output-dir={ENVIRONMENTS / 'playwright-output'}")  # else where it is started
    return node_command("playwright", args)


def browser_server(**options: Any) -> McpServer:
    """The server that drives a browser."""
    command, *args = browser_command()
    return McpServer.stdio(command, args, name="playwright", **options)


def old_server(script: Path, env: Mapping[str, str] | None = None, **options: Any) -> McpServer:
    """A server of one's own, made with the older SDK."""
    made = environment("mcp-1", OLD_SDK, with_host=False)
    return McpServer.stdio(str(made / "bin" / "python"), [str(script)], env, name="old", **options)


def fast_server(script: Path, **options: Any) -> McpServer:
    """A server of one's own, made with FastMCP."""
    made = environment("fastmcp", "fastmcp==4.2.3", with_host=False)
    return McpServer.stdio(str(made / "bin" / "python"), [str(script)], name="fast", **options)
