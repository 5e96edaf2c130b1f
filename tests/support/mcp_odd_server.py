"""The test's MCP server with tools whose results, questions and manners are less usual."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any, Final

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp.shared.exceptions import UrlElicitationRequiredError
from mcp_types import (
    CallToolResult,
    ElicitRequestURLParams,
    ImageContent,
    TextContent,
    ToolAnnotations,
)
from pydantic import BaseModel

from tests.support.mcp_server import main, note, server

PICTURE: Final = base64.b64encode(b"\x89PNG" + bytes(range(256)) * 20).decode()
PAGE: Final = "https://login.example/authorize?state=1"
READ_ONLY: Final = ToolAnnotations(read_only_hint=True)
HARMLESS: Final = ToolAnnotations(destructive_hint=False)


class Count(BaseModel):
    """A result with a schema."""

    count: int


@server.tool()
def media() -> dict[str, Any]:
    """Give a picture as the filesystem server does: in the data, and beside them."""
    return {"content": [{"type": "image", "data": PICTURE, "mimeType": "image/png"}]}


@server.tool()
def picture() -> CallToolResult:
    """Give a picture in both places, as their own kinds."""
    block = ImageContent(data=PICTURE, mime_type="image/png")
    data = {"content": [{"type": "image", "data": PICTURE, "mimeType": "image/png"}]}
    return CallToolResult(content=[block], structured_content=data)


@server.tool()
def page() -> str:
    """Give a page with a picture in its text."""
    return f'<img src="data:image/png;base64,{PICTURE}"> and {PICTURE} end'


@server.tool()
def both() -> CallToolResult:
    """Say in the text what the data do not say."""
    text = TextContent(text="Ada has ordered three; the shop closes at six.")
    return CallToolResult(content=[text], structured_content={"count": 3})


@server.tool()
def same() -> CallToolResult:
    """Say in the text what the data say."""
    data = {"count": 3, "names": ["Ada", "Bob"]}
    texts = [TextContent(text=json.dumps(data, indent=2)), TextContent(text="Ada")]
    return CallToolResult(content=list(texts), structured_content=data)


@server.tool()
def counted() -> Count:
    """Promise data and give none, see `forget`."""
    note("counted")
    return Count(count=3)


@server.tool()
def nothing() -> None:
    """Give nothing."""


@server.tool(structured_output=False)
def big(size: int) -> str:
    """Give a long text."""
    return "x" * size


@server.tool(structured_output=False)
def pairs(items: list[tuple[int, str]]) -> str:
    """Take arrays, one of which says nothing of its items but their first ones."""
    return f"{len(items)}"


@server.tool(annotations=READ_ONLY)
async def look(name: str) -> str:
    """Look at something for a moment."""
    return await take_a_moment(name)


@server.tool()
async def change(name: str) -> str:
    """Change something, in a moment."""
    return await take_a_moment(name)


@server.tool(annotations=HARMLESS)
async def add_note(name: str) -> str:
    """Add something."""
    return name


async def take_a_moment(name: str) -> str:
    """Take a moment, and say when it begins and ends."""
    note(f"begin {name}")
    await anyio.sleep(0.2)
    note(f"end {name}")
    return name


class Age(BaseModel):
    """The answer to the question."""

    age: int


async def ask_age() -> Elicit[Age]:
    """Make the question."""
    return Elicit("How old?", Age)


@server.tool()
async def pick_age(answer: Annotated[Age, Resolve(ask_age)]) -> int:
    """Ask the user for an age."""
    return answer.age


_visits: list[str] = []


@server.tool()
def log_in() -> str:
    """Refuse before the user has been at a page."""
    note("asked for a page")
    if not _visits:
        _visits.append(PAGE)
        asked = ElicitRequestURLParams(message="Please log in.", url=PAGE, elicitation_id="e1")
        raise UrlElicitationRequiredError([asked])
    return "logged in"


@server.tool()
def mislead() -> str:
    """Ask the user to open what is no page."""
    asked = ElicitRequestURLParams(message="Go", url="javascript:alert(1)", elicitation_id="e1")
    raise UrlElicitationRequiredError([asked])


@server.tool()
async def count_up(ctx: Context) -> str:
    """Tell how far it is."""
    await ctx.report_progress(1, 3, "reading")
    await anyio.sleep(0.6)
    await ctx.report_progress(2, 3)
    return "counted"


@server.tool()
async def grow(ctx: Context) -> str:
    """Have one tool more from now on, and tell so in both protocols' ways."""

    def grown() -> str:
        """Be new."""
        return "new"

    server.add_tool(grown)
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "grown"


async def forget(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Leave the data that a tool's schema promises out of its result."""
    result = await call_next(ctx)
    if ctx.method != "tools/call" or (ctx.params or {}).get("name") != "counted":
        return result
    made = CallToolResult.model_validate(result)
    return CallToolResult(content=made.content, is_error=made.is_error)


server.middleware.append(forget)

if __name__ == "__main__":
    main()
