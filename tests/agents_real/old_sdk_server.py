"""A server made with the SDK before the newest protocol, in that SDK's environment."""

# mypy: ignore-errors
# The SDK here is another one than the tests' own.
from __future__ import annotations

import os
import time
from pathlib import Path

from mcp.server.fastmcp import Context, FastMCP
from pydantic import BaseModel

server = FastMCP("old")


class Colour(BaseModel):
    """The answer to a question."""

    colour: str


@server.tool()
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


@server.tool()
def block(seconds: float) -> str:
    """Sleep as a sync tool does there: on the loop."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write("blocking\n")
    time.sleep(seconds)
    return "done"


@server.tool()
def pair() -> tuple[int, str]:
    """Give a pair."""
    return 1, "a"


@server.tool()
async def pick_colour(ctx: Context) -> str:
    """Ask the user for a colour."""
    answer = await ctx.elicit("Which colour?", Colour)
    return answer.data.colour if answer.action == "accept" else answer.action


@server.tool()
async def count_up(ctx: Context) -> str:
    """Tell how far it is."""
    await ctx.report_progress(1, 3, "reading")
    return "counted"


@server.tool()
def text(size: int) -> str:
    """Give a long text."""
    return "x" * size


if __name__ == "__main__":
    with Path(os.environ["NOTES"]).open("a") as file:
        file.write(f"started {os.getpid()}\n")
    server.run("stdio")
