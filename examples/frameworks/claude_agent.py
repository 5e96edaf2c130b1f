"""Claude Agent SDK: a program a turn; it hears of a stop, and asks nothing again."""

from collections.abc import AsyncIterator
from typing import Any

import claude_agent_sdk as sdk
from shop import stock

from wsgi_app import Turn, UpstreamError, Usage


@sdk.tool("stock", stock.__doc__, {"article": str})  # type: ignore[untyped-decorator] # not there for mypy
async def count(wanted: dict[str, Any]) -> dict[str, Any]:
    """Call the tool."""
    return {"content": [{"type": "text", "text": stock(**wanted)}]}


once = {"CLAUDE_CODE_MAX_RETRIES": "0", "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1"}
tools: Any = {"tools": [], "allowed_tools": ["mcp__shop__stock"], "setting_sources": []}
tools["mcp_servers"] = {"shop": sdk.create_sdk_mcp_server("shop", tools=[count])}
options = sdk.ClaudeAgentOptions(**tools, env=once, include_partial_messages=True)


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    said = "\n".join(f"{m['role']}: {m['content']}" for m in turn.plain_history)
    async with sdk.ClaudeSDKClient(options) as client:
        try:
            await client.query(f"{said}\nuser: {turn.message}")
            async for message in client.receive_response():
                if isinstance(message, sdk.StreamEvent):
                    yield message.event.get("delta", {}).get("text", "")
                elif isinstance(message, sdk.ResultMessage):
                    if message.is_error:
                        raise UpstreamError("The model provider failed.")
                    given, taken = (message.usage[f"{way}_tokens"] for way in ("input", "output"))
                    turn.add_usage(Usage(given, taken, given + taken))
        finally:
            await client.interrupt()
