"""What a graph's two nodes tell: the one that asks the model, and the one that runs its tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wsgi_app.events import ToolCall, ToolResult, encode_json
from wsgi_app.wires.langgraph.encode.messages import LangChainMessage, Names

GRAPH: Final = "agent"
TOOLS_NODE: Final = "tools"


def by_node(made: Sequence[LangChainMessage]) -> list[tuple[str, list[LangChainMessage]]]:
    """Each node with the messages that it adds, possibly none."""
    return [
        (node, [one for one in made if one["type"] == kind])
        for node, kind in ((GRAPH, "ai"), (TOOLS_NODE, "tool"))
    ]


def call_started(names: Names, event: ToolCall) -> dict[str, Any]:
    """The event of the channel ``tools`` for a call."""
    call_id = names.call_id(event.call_id)
    started = {"event": "tool-started", "tool_call_id": call_id, "tool_name": event.tool}
    return {**started, "input": event.input}


def call_ended(names: Names, event: ToolResult) -> dict[str, Any]:
    """The event of the channel ``tools`` for a call's result."""
    call_id, output = names.call_id(event.call_id), event.output
    if event.status != "error":
        return {"event": "tool-finished", "tool_call_id": call_id, "output": output}
    text = output if isinstance(output, str) else encode_json(output).decode()
    return {"event": "tool-error", "tool_call_id": call_id, "message": text}


def message_chunk(message_id: str, content: str, more: dict[str, Any]) -> dict[str, Any]:
    """A piece of an answer, as the older routes give it."""
    chunk = {"type": "AIMessageChunk", "id": message_id, "content": content}
    empty: dict[str, Any] = {"tool_calls": [], "tool_call_chunks": []}
    return {**chunk, **empty, **more, "response_metadata": {}}


def call_chunk(names: Names, event: ToolCall, index: int) -> dict[str, Any]:
    """What a piece holds that is a call, the so many-th of its answer."""
    chunk = {
        "name": names.tool(event.tool),
        "args": encode_json(event.input).decode(),
        "id": names.call_id(event.call_id),
        "index": index,
        "type": "tool_call_chunk",
    }
    return {"tool_call_chunks": [chunk]}


def thought(content: str) -> dict[str, Any]:
    """What a piece holds that is reasoning."""
    return {"additional_kwargs": {"reasoning_content": content}}
