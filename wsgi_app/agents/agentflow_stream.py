"""What an AgentFlow graph streams, as a turn's events."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from agentflow.core.state import Message
from agentflow.core.state.message_block import (
    ReasoningBlock,
    RemoteToolCallBlock,
    TextBlock,
    ToolResultBlock,
)
from agentflow.core.state.stream_chunks import StreamChunk, StreamEvent
from agentflow.prebuilt.tools.handoff import is_handoff_tool

from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.events import Status, Thinking, ToolCall, ToolResult, Usage

#: What a breakpoint says, before a node and after one.
_BREAKPOINT: Final = "Graph execution interrupted before node execution"


class Pause(NamedTuple):
    """What a graph waits for; one of the three."""

    interrupt: dict[str, Any] | None = None
    breakpoint_node: str | None = None
    remote_calls: tuple[RemoteToolCallBlock, ...] = ()


class GraphStream:
    """Sends what a graph streams to its turn. Used by one task on the agents loop."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._given: set[str | int] = set()
        self._has_streamed = False
        self._tools: dict[str, str] = {}
        self._finished: set[str] = set()
        self._remote_calls: list[RemoteToolCallBlock] = []
        self._pause: Pause | None = None
        #: Whether the graph has used up its steps, which it reports by an error of any kind.
        self.is_out_of_steps = False

    def ignore(self, messages: Collection[Message]) -> None:
        """Send nothing of these, which the graph streams as it gets them."""
        self._given.update(message.message_id for message in messages)

    def take(self, chunk: StreamChunk) -> None:
        """Take the next part of the stream."""
        data = chunk.data or {}
        if chunk.event == StreamEvent.UPDATES:
            self._take_update(data)
        elif chunk.event == StreamEvent.ERROR:
            self._take_error(data)
        elif chunk.event == StreamEvent.MESSAGE and chunk.message is not None:
            self._take_message(chunk.message)
        elif chunk.event == StreamEvent.MESSAGE and "message" in data:
            self._turn.emit(Status(str(data["message"])))

    def take_pause(self) -> Pause | None:
        """What the graph waits for, and forget it; None if it has come to its end."""
        pause, self._pause = self._pause, None
        if self._remote_calls:
            pause, self._remote_calls = Pause(remote_calls=tuple(self._remote_calls)), []
        return pause

    def think(self, text: str) -> None:
        """Send reasoning that the graph does not stream."""
        self._has_streamed = True
        self._turn.emit(Thinking(text))

    def count(self, usage: Any) -> None:
        """Count what a model has used; AgentFlow and the openai package name it alike."""
        self._turn.add_usage(
            Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
        )

    def finish(self, call_id: str, output: Any, *, is_error: bool = False) -> None:
        """Send a call's result, unless it is out already."""
        if call_id in self._finished:
            return
        self._finished.add(call_id)
        tool, output = self._tools.get(call_id, ""), bounded_json(output)
        if is_error:
            self._turn.emit(ToolResult(tool, call_id, {"error": output}, status="error"))
        else:
            self._turn.emit(ToolResult(tool, call_id, output))

    def _take_update(self, data: dict[str, Any]) -> None:
        if "max_steps" in data:
            self.is_out_of_steps = data["step"] >= data["max_steps"]
        if data.get("interrupt") is not None:
            self._pause = Pause(interrupt=data["interrupt"])
        elif data.get("reason") == _BREAKPOINT:
            self._pause = Pause(breakpoint_node=data["node"])

    def _take_error(self, data: dict[str, Any]) -> None:
        if "error" in data:
            self._begin(data["tool_call_id"], data["tool_name"], data["args"])
            self.finish(data["tool_call_id"], data["error"], is_error=True)
        elif "message" in data:
            self._turn.emit(Status(str(data["message"])))

    def _take_message(self, message: Message) -> None:
        if message.message_id in self._given:
            return
        if message.role == "tool":
            for block in message.content:
                self._take_tool_block(block)
        elif message.role == "assistant" and message.delta:
            self._has_streamed = True
            self._say(message)
        elif message.role == "assistant":
            self._take_whole(message)

    def _take_whole(self, message: Message) -> None:
        """Take a complete message, which repeats what its model may have streamed."""
        if not self._has_streamed:
            self._say(message)
        self._has_streamed = False
        if message.usages is not None:
            self.count(message.usages)
        for call in message.tools_calls or ():
            function = call["function"]
            _, target = is_handoff_tool(function["name"])
            if target is not None:
                self._turn.emit(Status(f"{target} takes over."))
            else:
                arguments = parse_object(function["arguments"]) or {}
                self._begin(call["id"], function["name"], arguments)

    def _say(self, message: Message) -> None:
        for block in message.content:
            if isinstance(block, TextBlock) and block.text:
                self._turn.emit(block.text)
            elif isinstance(block, ReasoningBlock) and block.summary:
                self._turn.emit(Thinking(block.summary))

    def _take_tool_block(self, block: Any) -> None:
        if isinstance(block, ToolResultBlock):
            self.finish(block.call_id, block.output, is_error=block.is_error)
        elif isinstance(block, RemoteToolCallBlock):
            self._remote_calls.append(block)

    def _begin(self, call_id: str, tool: str, arguments: dict[str, Any]) -> None:
        if call_id not in self._tools:
            self._tools[call_id] = tool
            self._turn.emit(ToolCall(tool, call_id, arguments))
