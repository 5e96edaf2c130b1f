"""A server made with FastMCP, in that package's environment."""

# mypy: ignore-errors
# The package is not among the tests' own.
from __future__ import annotations

from fastmcp import Context, FastMCP

server = FastMCP("fast")


@server.tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


@server.tool
def place(at: tuple[int, str]) -> str:
    """Take a pair."""
    return f"{at[0]}{at[1]}"


@server.tool
async def pick_colour(ctx: Context) -> str:
    """Ask the user for a colour."""
    answer = await ctx.elicit("Which colour?", response_type=str)
    return answer.data if answer.action == "accept" else answer.action


if __name__ == "__main__":
    server.run(show_banner=False)
