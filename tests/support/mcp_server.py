"""A real MCP server under the tests' control, started as a program: stdio, or HTTP on a port.

Environment: ``NOTES``, a file to which it writes what happens to it; ``LEGACY``, to speak only the
protocol's handshake versions; ``EXTRA_TOOLS``, how many numbered tools it offers as well;
``DEAF``, to go on after the end of its standard input.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Elicit, Image, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp_types import METHOD_NOT_FOUND, ListToolsResult
from pydantic import BaseModel

PAGE_SIZE: Final = 50
QUESTION: Final = "Which colour?"


class Colour(BaseModel):
    """The answer to the question."""

    colour: str


def note(line: str) -> None:
    """Write down what happens, in one piece."""
    if "NOTES" in os.environ:
        with Path(os.environ["NOTES"]).open("a") as notes:
            notes.write(f"{line}\n")


async def watch(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Note headers, refuse the newest protocol if asked to, and list tools in pages."""
    if ctx.request is not None and "authorization" in ctx.request.headers:
        note(ctx.request.headers["authorization"])
    if ctx.method == "server/discover":
        note(ctx.method)
    if ctx.method == "server/discover" and "LEGACY" in os.environ:
        raise MCPError(METHOD_NOT_FOUND, "Method not found")
    result = await call_next(ctx)
    if ctx.method != "tools/list":
        return result
    tools = ListToolsResult.model_validate(result).tools
    start = int((ctx.params or {}).get("cursor") or 0)
    end = start + PAGE_SIZE
    return ListToolsResult(
        tools=tools[start:end], next_cursor=str(end) if end < len(tools) else None
    )


server = MCPServer("test-server", log_level="CRITICAL", middleware=[watch])


@server.tool()
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


@server.tool()
def greet(name: str) -> str:
    """Greet someone."""
    return f"Hello {name}"


@server.tool()
def read_file(name: str) -> str:
    """Read a file."""
    raise ToolError(f"no such file: {name}")


@server.tool(structured_output=False)
def draw() -> list[str | Image]:
    """Give a text and an image."""
    return ["a dot", Image(data=b"\x89PNG0123456789", format="png")]


@server.tool(name="odd.näme")
def odd() -> str:
    """Have a name that a model's provider does not take."""
    return "odd"


@server.tool()
async def nap(seconds: float) -> str:
    """Sleep."""
    note("napping")
    try:
        await anyio.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        note("cancelled")
        raise
    return "rested"


_first_is_here = anyio.Event()
_second_is_here = anyio.Event()


@server.tool()
async def meet(name: str) -> str:
    """Wait until two are here."""
    (_second_is_here if _first_is_here.is_set() else _first_is_here).set()
    await _second_is_here.wait()
    return f"{name} met someone"


@server.tool()
async def block(seconds: float) -> str:
    """Sleep in a way that no cancel ends, and that keeps the server from reading."""
    note("blocking")
    time.sleep(seconds)  # noqa: ASYNC251 - the fault that it stands for
    return "done"


@server.tool()
async def die() -> str:
    """End the server in the middle of a call."""
    os._exit(3)


@server.tool()
def variable(name: str) -> str:
    """Tell an environment variable."""
    return os.environ.get(name, "")


async def ask_colour() -> Elicit[Colour]:
    """Make the question."""
    return Elicit(QUESTION, Colour)


@server.tool()
async def pick_colour(answer: Annotated[Colour, Resolve(ask_colour)]) -> str:
    """Ask the user for a colour."""
    return answer.colour


async def serve_handshake() -> None:
    """Serve the standard streams as a server from before the newest protocol does."""
    lowlevel = server._lowlevel_server  # noqa: SLF001 - the public way speaks both protocols
    options = lowlevel.create_initialization_options()
    async with stdio_server() as (read, write):
        await serve_loop(lowlevel, read, write, lifespan_state={}, init_options=options)


def main() -> None:
    """Serve on the port that the command line names, else on the standard streams."""
    note(f"started {os.getpid()}")
    for number in range(int(os.environ.get("EXTRA_TOOLS", "0"))):
        server.add_tool(greet, name=f"greet_{number}")
    if "DEAF" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    elif "LEGACY" in os.environ:
        anyio.run(serve_handshake)
    else:
        server.run("stdio")
    note("ended")
    if "DEAF" in os.environ:
        time.sleep(3600)


if __name__ == "__main__":
    main()
