"""Sub-agents as graphs that a thread's tools run: each in the namespace of its call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from wsgi_app.events import Nested, Status, Thinking, Token, ToolCall, ToolResult
from wsgi_app.wires.langgraph.encode.blocks import OpenMessage
from wsgi_app.wires.langgraph.encode.messages import Answer, LangChainMessage, Names
from wsgi_app.wires.langgraph.encode.nodes import (
    GRAPH,
    TOOLS_NODE,
    by_node,
    call_chunk,
    call_ended,
    call_started,
    message_chunk,
    thought,
)

#: Between the tasks of a namespace, and before it in the older routes' names of events.
SEPARATOR: Final = "|"


class Lane:
    """What is sent in one namespace; used by one thread."""

    def __init__(self, space: list[str], agent: str, call_id: str, answer: Answer) -> None:
        self.space = space
        self.agent = agent
        self.call_id = call_id
        self.answer = answer
        self.message: OpenMessage | None = None


class Lanes:
    """The sub-agents of one turn that are at work; used by one thread."""

    def __init__(self, names: Names, human_id: str) -> None:
        """``human_id``: what the names of their messages begin with."""
        self._names = names
        self._human_id = human_id
        self._lanes: dict[str, Lane] = {}
        self._outer: dict[str, list[str]] = {}
        self._made = 0

    def of(self, nested: Nested) -> Lane:
        """Where a sub-agent's event belongs."""
        lane = self._lanes.get(nested.parent)
        if lane is None:
            self._made += 1
            call_id = self._names.call_id(nested.parent)
            space = [*self._outer.get(nested.parent, ()), f"{TOOLS_NODE}:{call_id}"]
            answer = Answer(f"{self._human_id}.a{self._made}", self._names)
            lane = self._lanes[nested.parent] = Lane(space, nested.agent, call_id, answer)
        if isinstance(nested.event, ToolCall):
            self._outer[nested.event.call_id] = lane.space
        return lane

    def knows(self, parent: str) -> bool:
        """Whether the namespace of a call has begun."""
        return parent in self._lanes

    def pop(self, call_id: str) -> Lane | None:
        """The lane of a call that has its result."""
        self._outer.pop(call_id, None)
        return self._lanes.pop(call_id, None)

    @property
    def open(self) -> list[tuple[str, Lane]]:
        """Those that are at work, the innermost first."""
        return list(reversed(self._lanes.items()))


class RunLanes:
    """Sub-agents in a stream of the older routes, whose events' names end with the namespace."""

    def __init__(
        self,
        put: Callable[[str, Any, str], None],
        names: Names,
        human_id: str,
        about: dict[str, Any],
    ) -> None:
        """``about``: what the metadata of a run's messages holds."""
        self._put = put
        self._names = names
        self._about = about
        self._lanes = Lanes(names, human_id)

    def take(self, nested: Nested) -> None:
        """Report what one does."""
        lane, event = self._lanes.of(nested), nested.event
        if isinstance(event, (Token, Thinking)):
            is_text = isinstance(event, Token)
            lane.answer.take(event)
            text, more = (event.content, {}) if is_text else ("", thought(event.content))
            self._emit_chunk(lane, lane.answer.open_id, text, more)
        elif isinstance(event, ToolCall):
            self._emit_whole(lane, lane.answer.take(event))
            chunk = call_chunk(self._names, event, lane.answer.call_count - 1)
            self._emit_chunk(lane, lane.answer.calls_id, "", chunk)
        elif isinstance(event, ToolResult):
            self.end_call(event.call_id)
            self._emit_whole(lane, lane.answer.take(event))
        elif isinstance(event, Status):
            self._emit(lane, "custom", {"status": event.content})

    def end_call(self, call_id: str) -> None:
        """A call has its result: what worked for it has ended."""
        lane = self._lanes.pop(call_id)
        if lane is not None:
            self._emit_whole(lane, lane.answer.close())
            self._emit(lane, "values", {"messages": lane.answer.messages})

    def end(self) -> None:
        """End all that are at work."""
        for call_id, _ in self._lanes.open:
            self.end_call(call_id)

    def _emit(self, lane: Lane, mode: str, data: Any, event: str = "") -> None:
        self._put(mode, data, SEPARATOR.join([event or mode, *lane.space]))

    def _emit_message(self, lane: Lane, message: LangChainMessage, node: str) -> None:
        space = SEPARATOR.join(lane.space)
        about = {"langgraph_node": node, "langgraph_checkpoint_ns": space, "tags": []}
        metadata = {**self._about, **about, "lc_agent_name": lane.agent}
        self._emit(lane, "messages-tuple", [message, metadata], "messages")

    def _emit_chunk(self, lane: Lane, message_id: str, content: str, more: dict[str, Any]) -> None:
        self._emit_message(lane, message_chunk(message_id, content, more), GRAPH)

    def _emit_whole(self, lane: Lane, made: Sequence[LangChainMessage]) -> None:
        for node, messages in by_node(made):
            for message in messages if node == TOOLS_NODE else ():
                self._emit_message(lane, message, node)
            if messages:
                self._emit(lane, "updates", {node: {"messages": messages}})


class ThreadLanes:
    """Sub-agents among a thread's events, each in its namespace."""

    def __init__(self, put: Callable[..., None], names: Names, human_id: str) -> None:
        self._put = put
        self._names = names
        self._lanes = Lanes(names, human_id)

    def take(self, nested: Nested) -> None:
        """Report what one does."""
        is_new = not self._lanes.knows(nested.parent)
        lane, event = self._lanes.of(nested), nested.event
        if is_new:
            cause = {"type": "toolCall", "tool_call_id": lane.call_id}
            self._emit_run(lane, "started", cause=cause)
        if isinstance(event, (Token, Thinking)):
            self._add_text(lane, event)
        elif isinstance(event, ToolCall):
            self._call(lane, event)
        elif isinstance(event, ToolResult):
            self._add_result(lane, event)
        elif isinstance(event, Status):
            data = {"name": "status", "payload": {"content": event.content}}
            self._put("custom", data, namespace=lane.space)

    def _message_of(self, lane: Lane) -> OpenMessage:
        if lane.message is None:
            lane.message = OpenMessage(
                lambda data: self._put("messages", data, node=GRAPH, namespace=lane.space)
            )
        return lane.message

    def _add_text(self, lane: Lane, event: Token | Thinking) -> None:
        lane.answer.take(event)
        message = self._message_of(lane)
        if isinstance(event, Thinking):
            message.think(lane.answer.open_id, event.content)
        elif event.content:
            message.say(lane.answer.open_id, event.content)

    def _call(self, lane: Lane, event: ToolCall) -> None:
        self._update(lane, lane.answer.take(event))
        if not self._message_of(lane).is_of_later(lane.answer.calls_id):
            call_id, name = self._names.call_id(event.call_id), self._names.tool(event.tool)
            self._message_of(lane).call(lane.answer.calls_id, call_id, name, event.input)
        self._emit_tool(lane, call_started(self._names, event))

    def _add_result(self, lane: Lane, event: ToolResult) -> None:
        self.end_call(event.call_id, failed=event.status == "error")
        if not self._message_of(lane).is_of_later(lane.answer.calls_id):
            self._message_of(lane).finish()
        self._emit_tool(lane, call_ended(self._names, event))
        self._update(lane, lane.answer.take(event))

    def _emit_tool(self, lane: Lane, data: dict[str, Any]) -> None:
        self._put("tools", data, node=TOOLS_NODE, namespace=lane.space)

    def _update(self, lane: Lane, made: Sequence[LangChainMessage]) -> None:
        for node, messages in by_node(made):
            if messages:
                data = {"node": node, "values": {"messages": messages}}
                self._put("updates", data, node=node, namespace=lane.space)

    def _emit_run(self, lane: Lane, status: str, **more: Any) -> None:
        data = {"event": status, "graph_name": lane.agent, **more}
        self._put("lifecycle", data, namespace=lane.space)

    def end_call(self, call_id: str, *, failed: bool = False) -> None:
        """A call has its result: what worked for it has ended."""
        lane = self._lanes.pop(call_id)
        if lane is None:
            return
        self._message_of(lane).finish()
        self._update(lane, lane.answer.close())
        self._put("values", {"messages": lane.answer.messages}, namespace=lane.space)
        self._emit_run(lane, "failed" if failed else "completed")

    def end(self, *, failed: bool = False) -> None:
        """End all that are at work."""
        for call_id, _ in self._lanes.open:
            self.end_call(call_id, failed=failed)

    def withdraw(self, reason: str) -> None:
        """Give all up that are at work: they begin again."""
        for _, lane in self._lanes.open:
            self._message_of(lane).fail(reason)
            self._emit_run(lane, "failed", error=reason)
