"""The mode `events`: a run as LangChain's `astream_events` reports a graph, in its version 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from wsgi_app.events import ToolCall, ToolResult, encode_json
from wsgi_app.wires.langgraph.encode.messages import LangChainMessage, Names
from wsgi_app.wires.langgraph.encode.nodes import GRAPH, TOOLS_NODE

#: The runnable that says the messages.
_MODEL: Final = "model"


class RawEvents:
    """Makes the events of one run; used by one thread.

    Each call puts as many events as it would if somebody wanted them, so that numbers stay.
    """

    def __init__(
        self,
        put: Callable[[dict[str, Any] | None], None],
        about: dict[str, Any],
        names: Names,
        *,
        wanted: bool,
    ) -> None:
        """``put``: takes None for an event that nobody wants; ``about``: the run and its thread."""
        self._put = put
        self._about = about
        self._names = names
        self._wanted = wanted
        #: The messages that have begun.
        self._begun: set[str] = set()
        self._inputs: dict[str, Any] = {}

    def _emit(self, kind: str, name: str, run_id: str, node: str, **data: Any) -> None:
        graph_run: str = self._about["run_id"]
        self._put(
            {
                "event": kind,
                "name": name,
                "run_id": run_id,
                "parent_ids": [] if run_id == graph_run else [graph_run],
                "tags": [],
                "metadata": {**self._about, "langgraph_node": node} if node else self._about,
                "data": data,
            }
        )

    def _graph(self, kind: str, **data: Any) -> None:
        if not self._wanted:
            self._put(None)
            return
        self._emit(kind, GRAPH, self._about["run_id"], "", **data)

    def begin(self, values: dict[str, Any]) -> None:
        """The run has begun with this state."""
        self._graph("on_chain_start", input=values)

    def update(self, update: dict[str, Any]) -> None:
        """A node has ended, or the run asks something."""
        self._graph("on_chain_stream", chunk=update)

    def end(self, values: dict[str, Any]) -> None:
        """The run has ended with this state."""
        self._graph("on_chain_end", output=values)

    def piece(self, chunk: dict[str, Any]) -> None:
        """A piece of a message."""
        message_id: str = chunk["id"]
        if message_id not in self._begun:
            self._begun.add(message_id)
            self._model(message_id, "on_chat_model_start", input={})
        self._model(message_id, "on_chat_model_stream", chunk=chunk)

    def whole(self, messages: Sequence[LangChainMessage]) -> None:
        """Messages have been said."""
        for message in messages:
            if message["id"] in self._begun:
                self._begun.remove(message["id"])
                self._model(message["id"], "on_chat_model_end", output=message)

    def _model(self, message_id: str, kind: str, **data: Any) -> None:
        if not self._wanted:
            self._put(None)
            return
        self._emit(kind, _MODEL, message_id, GRAPH, **data)

    def call(self, event: ToolCall) -> None:
        """A tool is called."""
        if not self._wanted:
            self._put(None)
            return
        call_id, name = self._names.call_id(event.call_id), self._names.tool(event.tool)
        self._inputs[call_id] = event.input
        self._emit("on_tool_start", name, call_id, TOOLS_NODE, input=event.input)

    def result(self, event: ToolResult) -> None:
        """A tool has answered, or failed."""
        if not self._wanted:
            self._put(None)
            return
        call_id, name = self._names.call_id(event.call_id), self._names.tool(event.tool)
        data: dict[str, Any] = {"input": self._inputs.pop(call_id, {})}
        if event.status != "error":
            self._emit("on_tool_end", name, call_id, TOOLS_NODE, **data, output=event.output)
            return
        output = event.output
        data["error"] = output if isinstance(output, str) else encode_json(output).decode()
        self._emit("on_tool_error", name, call_id, TOOLS_NODE, **data)
