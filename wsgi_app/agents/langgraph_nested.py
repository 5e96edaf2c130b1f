"""Graphs that a graph's tools run, shown as sub-agents of the turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final
from uuid import UUID

from langchain_core.messages import BaseMessage, ToolMessage

from wsgi_app.agents.langgraph_pieces import output_of, pieces_of
from wsgi_app.engine import Turn
from wsgi_app.errors import TurnCancelled, TurnError
from wsgi_app.events import ToolCall, ToolResult

#: What a tool's graph does before its call is shown; the outer graph's stream may be behind.
MAX_WAITING: Final = 1000
_TASK: Final = "langgraph_checkpoint_ns"
_SEPARATOR: Final = "|"


class NestedGraphs:
    """What the graphs do that run within tools of one turn.

    Called on the agents loop, and in the threads of sync nodes and tools; ``_lock`` guards all
    state, and events are sent under it, which waits for nothing, so that they stay in order.
    """

    def __init__(self, turn: Turn) -> None:
        #: The turn of the agent whose graph runs in a namespace.
        self.turn_of: Callable[[Sequence[str]], Turn | None] = lambda _: turn
        self._spaces: set[str] = set()
        self._lock = threading.RLock()
        self._tools: dict[UUID, _Tool] = {}
        self._models: dict[UUID, _Tool] = {}
        self._streamed: set[UUID] = set()
        #: Calls that were shown, and what waits for others to be.
        self._shown: set[str] = set()
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def note_shown(self, call_id: str) -> None:
        """The user has seen a call of the turn's own."""
        with self._lock:
            self._shown.add(call_id)
            for send in self._waiting.pop(call_id, ()):
                send()

    def begin_tool(
        self, run: UUID, within: Sequence[UUID], call_id: str, name: str, metadata: Any
    ) -> None:
        """A tool runs, within others from the outermost on."""
        with self._lock:
            outer = next((self._tools[one] for one in reversed(within) if one in self._tools), None)
            space = str((metadata or {}).get(_TASK, ""))
            self._tools[run] = _Tool(call_id, name, space, outer)
            self._spaces.add(space)

    def knows_space(self, namespace: Sequence[str]) -> bool:
        """Whether a namespace is of a graph that a tool runs, or has run."""
        with self._lock:
            return any(
                _SEPARATOR.join(namespace[:end]) in self._spaces
                for end in range(1, len(namespace) + 1)
            )

    def name_graph(self, tool: UUID | None, name: str) -> None:
        """A graph or another chain begins right below a tool."""
        with self._lock:
            known = self._tools.get(tool) if tool is not None else None
            if known is not None and name not in ("", "LangGraph", "RunnableSequence"):
                known.agent = known.agent or name

    def end_tool(self, run: UUID, output: Any, *, failed: bool = False) -> None:
        """A tool has ended; None as output: it will run again."""
        with self._lock:
            tool = self._tools.pop(run, None)
            if tool is None:
                return
            tool.stack.close()
            if tool.outer is not None and tool.is_inside(tool.outer) and output is not None:
                self._open(tool.outer)
                result = {"error": "The tool failed."} if failed else _output(output)
                status = "error" if failed or _has_failed(output) else "complete"
                self._send(tool.outer, ToolResult(tool.name, tool.call_id, result, status))  # type: ignore[arg-type] # one of the two

    def begin_model(self, run: UUID, within: Sequence[UUID], metadata: Any) -> None:
        """A model is asked within tools: by a graph there, or by the tool itself."""
        with self._lock:
            tool = next((self._tools[one] for one in reversed(within) if one in self._tools), None)
            space = str((metadata or {}).get(_TASK, ""))
            if tool is None or not space.startswith(tool.space + _SEPARATOR):
                return
            tool.agent = str((metadata or {}).get("lc_agent_name") or tool.agent)
            self._open(tool)
            if tool.turn is not None:
                self._models[run] = tool

    def _open(self, tool: _Tool) -> None:
        # The last part of its space is the node that it runs in.
        outer = tool.space.split(_SEPARATOR)[:-1]
        above = self.turn_of(outer) if tool.outer is None else tool.outer.turn
        if above is None or tool.turn is not None or not tool.call_id:
            return
        try:
            child = above.child(tool.agent or tool.name, tool.call_id, current=False)
            tool.turn = tool.stack.enter_context(child)
        except TurnError:
            tool.turn = None  # there are too many

    def say(self, run: UUID, message: BaseMessage) -> None:
        """A piece of a model's answer."""
        with self._lock:
            tool = self._models.get(run)
            if tool is not None:
                self._streamed.add(run)
                for piece in pieces_of(message):
                    self._send(tool, piece)

    def end_model(self, run: UUID, message: BaseMessage) -> None:
        """A model's whole answer."""
        with self._lock:
            tool = self._models.pop(run, None)
            if tool is None:
                return
            if run not in self._streamed:
                for piece in pieces_of(message):
                    self._send(tool, piece)
            self._streamed.discard(run)
            for call in getattr(message, "tool_calls", ()):
                self._send(tool, ToolCall(call["name"], call["id"] or "", call["args"]))

    def _send(self, tool: _Tool, item: Any) -> None:
        turn, root = tool.turn, tool.root.call_id
        if turn is None:
            return

        def send() -> None:
            try:
                turn.emit(item)
            except TurnCancelled:
                return  # the run is about to be stopped

        if root in self._shown:
            send()
        else:
            waiting = self._waiting.setdefault(root, [])
            if len(waiting) < MAX_WAITING:
                waiting.append(send)


class _Tool:
    """A tool that runs."""

    def __init__(self, call_id: str, name: str, space: str, outer: _Tool | None) -> None:
        self.call_id, self.name, self.space, self.outer = call_id, name, space, outer
        self.root: _Tool = self if outer is None else outer.root
        self.agent = ""
        self.turn: Turn | None = None
        self.stack = ExitStack()

    def is_inside(self, other: _Tool) -> bool:
        """Whether it runs in a graph that the other one runs."""
        return self.space.startswith(other.space + _SEPARATOR)


def _output(output: Any) -> Any:
    return output_of(output) if isinstance(output, ToolMessage) else str(output)


def _has_failed(output: Any) -> bool:
    return isinstance(output, ToolMessage) and output.status == "error"
