"""Calls that the host has run, as output items, in one of two forms.

*Told*, unless a request asks otherwise: a ``reasoning`` item, whose summary says what was called
and what came of it. Of the items that strict clients take (Open Responses: ``message``,
``function_call``, ``function_call_output``, ``reasoning``, ``compaction``) it is the only one that
says such a thing and that no framework runs: whatever is named ``function_call`` is run by the
Agents SDK, pydantic-ai, the AI SDK and LangChain, with its output beside it or not. Its
``encrypted_content`` holds the call and its result, so that a client which sends the conversation
back loses nothing.

*mcp_call*, for a request that names ``{"type": "mcp", "server_label": "host"}`` among its tools.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from wsgi_app.events import ToolCall, ToolResult, encode_json
from wsgi_app.wires.openai.echo import SERVER_LABEL
from wsgi_app.wires.openai.encode.items import Item, call_arguments
from wsgi_app.wires.openai.packed import pack

#: A longer result is cut in what people read.
MAX_SHOWN_CHARS: Final = 500
_SUMMARY: Final = "response.reasoning_summary_text"
_PART: Final = "response.reasoning_summary_part"


class Step(NamedTuple):
    """What an item has become, and the events that say so: their kinds, and their own fields."""

    item: Item
    events: list[tuple[str, Item]]


class HostCalls(Protocol):
    """One form of them."""

    @property
    def prefix(self) -> str:
        """What its items' ids begin with."""

    def begin(self, item_id: str, call: ToolCall) -> tuple[Item, Step]:
        """The item as it is added, and the call."""

    def end(self, item: Item, call: ToolCall, result: ToolResult) -> Step:
        """The result."""


class McpCalls:
    """The form that OpenAI gives the tools of a server."""

    prefix: Final = "mcp"

    def begin(self, item_id: str, call: ToolCall) -> tuple[Item, Step]:
        """See `HostCalls.begin`."""
        arguments = call_arguments(call)
        added = {
            "id": item_id,
            "type": "mcp_call",
            "server_label": SERVER_LABEL,
            "name": call.tool,
            "arguments": "",
            "status": "in_progress",
        }
        events: list[tuple[str, Item]] = [
            ("response.mcp_call.in_progress", {}),
            ("response.mcp_call_arguments.delta", {"delta": arguments}),
            ("response.mcp_call_arguments.done", {"arguments": arguments}),
        ]
        return added, Step({**added, "arguments": arguments}, events)

    def end(self, item: Item, call: ToolCall, result: ToolResult) -> Step:
        """See `HostCalls.end`."""
        del call
        text = _text_of(result)
        if result.status == "complete":
            done = {**item, "status": "completed", "output": text}
        else:
            content = [{"type": "text", "text": text}]
            error = {"type": "mcp_tool_execution_error", "content": content}
            done = {**item, "status": "failed", "error": error}
        return Step(done, [(f"response.mcp_call.{done['status']}", {})])


class ToldCalls:
    """The form that every client takes."""

    prefix: Final = "ht"

    def begin(self, item_id: str, call: ToolCall) -> tuple[Item, Step]:
        """See `HostCalls.begin`."""
        added: Item = {"id": item_id, "type": "reasoning", "status": "in_progress", "summary": []}
        text = f"Called {call.tool}({call_arguments(call)})"
        summary = {"summary_index": 0}
        events = [
            (f"{_PART}.added", {**summary, "part": _part("")}),
            (f"{_SUMMARY}.delta", {**summary, "delta": text}),
        ]
        return added, Step({**added, "summary": [_part(text)]}, events)

    def end(self, item: Item, call: ToolCall, result: ToolResult) -> Step:
        """See `HostCalls.end`."""
        came = _text_of(result)
        shown = came if len(came) <= MAX_SHOWN_CHARS else f"{came[:MAX_SHOWN_CHARS]}…"
        outcome = f": {shown}" if result.status == "complete" else f", which failed: {shown}"
        text = f"{item['summary'][0]['text']}{outcome}"
        done = {
            **item,
            "status": "completed",
            "summary": [_part(text)],
            "encrypted_content": pack(_messages(call, came)),
        }
        summary = {"summary_index": 0}
        events = [
            (f"{_SUMMARY}.delta", {**summary, "delta": outcome}),
            (f"{_SUMMARY}.done", {**summary, "text": text}),
            (f"{_PART}.done", {**summary, "part": _part(text)}),
        ]
        return Step(done, events)


def _messages(call: ToolCall, result: str) -> list[dict[str, Any]]:
    function = {"name": call.tool, "arguments": call_arguments(call)}
    entry = {"id": call.call_id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [entry]},
        {"role": "tool", "tool_call_id": call.call_id, "content": result},
    ]


def _text_of(result: ToolResult) -> str:
    output = result.output
    return output if isinstance(output, str) else encode_json(output).decode()


def _part(text: str) -> Item:
    return {"type": "summary_text", "text": text}
