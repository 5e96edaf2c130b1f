"""What a LangGraph graph streams, as a turn's events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langgraph.types import Interrupt

from wsgi_app.agents.langgraph_callbacks import QUIET, RUN, ModelCallbacks
from wsgi_app.agents.langgraph_pieces import output_of, pieces_of
from wsgi_app.engine import Turn
from wsgi_app.events import AGENT_EVENTS, AnyEvent, Status, ToolCall, ToolResult

if TYPE_CHECKING:
    from typing_extensions import Self

#: In the metadata that LangGraph streams with each message: the task that it is of.
TASK: Final = "langgraph_checkpoint_ns"


class GraphStream:
    """Sends what a graph streams to its turn, for a block. Used by a task on the agents loop."""

    #: Whether what subgraphs say is sent as sub-agents'.
    nests = False

    def __init__(self, turn: Turn, callbacks: ModelCallbacks) -> None:
        self._turn = turn
        #: The tools that the turn's client runs, which learns of them by that.
        self.clients: Collection[str] = ()
        self._callbacks = callbacks
        self._answers: dict[str, _Answer] = {}
        self._streamed_texts: set[tuple[str, str]] = set()
        self._tools: dict[str, str] = {}
        self._finished: set[str] = set()
        #: What the graph asks since the last `take_interrupts`, None if it does not wait.
        self._interrupts: dict[str, Interrupt] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is left to send."""

    def take(self, mode: str, data: Any, namespace: Sequence[str] = ()) -> None:
        """Take the next part of the stream; all of it is the turn's own."""
        del namespace
        if mode == "messages":
            self._take_message(*data)
        elif mode == "updates":
            self._take_interrupts(data)
        elif isinstance(data, AGENT_EVENTS):
            self._turn.emit(data)
        elif isinstance(data, str):
            self._turn.emit(Status(data))

    def emit_answer(self) -> None:
        """The graph has come to an end."""

    def end_message(self, text: str, *, calls: bool) -> None:
        """A message is whole."""

    def note_events(self, events: Sequence[AnyEvent]) -> None:
        """Know which calls and results the user has seen."""
        for event in events:
            if isinstance(event, ToolCall):
                self._tools[event.call_id] = event.tool
                self._callbacks.nested.note_shown(event.call_id)
            elif isinstance(event, ToolResult):
                self._finished.add(event.call_id)

    def take_interrupts(self) -> list[Interrupt] | None:
        """What the graph asks before it goes on, and forget it; None if it has come to its end.

        Empty for a breakpoint, which asks nothing.
        """
        waiting, self._interrupts = self._interrupts, None
        return None if waiting is None else list(waiting.values())

    def _take_interrupts(self, update: Any) -> None:
        if isinstance(update, dict) and "__interrupt__" in update:
            found = {interrupt.id: interrupt for interrupt in update["__interrupt__"]}
            self._interrupts = {**(self._interrupts or {}), **found}

    def _take_message(self, message: BaseMessage, metadata: dict[str, Any]) -> None:
        if metadata.get(QUIET):
            return
        if isinstance(message, ToolMessage):
            self._finish(message)
        elif isinstance(message, AIMessageChunk):
            self._take_chunk(message, metadata)
        elif isinstance(message, AIMessage):
            self._take_whole(message, metadata)

    def _take_chunk(self, chunk: AIMessageChunk, metadata: dict[str, Any]) -> None:
        run = metadata.get(RUN, "")
        answer = self._answers.setdefault(run, _Answer())
        answer.text.append(self._say(chunk))
        if chunk.tool_call_chunks:
            answer.calls.append(chunk)
        if chunk.chunk_position == "last":
            del self._answers[run]
            text = "".join(answer.text)
            self._streamed_texts.add((metadata.get(TASK, ""), text))
            self.end_message(text, calls=bool(answer.calls))
            if answer.calls:
                self._begin(add_ai_message_chunks(*answer.calls))

    def _take_whole(self, message: AIMessage, metadata: dict[str, Any]) -> None:
        """Take what a node put into the state that did not come from a model's stream."""
        repeated = (metadata.get(TASK, ""), message.text) in self._streamed_texts
        if not repeated and not self._callbacks.is_quiet(message):
            self._say(message)
            self.end_message(str(message.text), calls=bool(message.tool_calls))
        self._begin(message)

    def _say(self, message: AIMessage) -> str:
        """Send a message's text and reasoning; returns the text."""
        pieces = pieces_of(message)
        for piece in pieces:
            self._turn.emit(piece)
        return "".join(piece for piece in pieces if isinstance(piece, str))

    def _begin(self, message: AIMessage) -> None:
        for call in message.tool_calls:
            call_id = call["id"] or ""
            if call_id not in self._tools and call["name"] not in self.clients:
                self._tools[call_id] = call["name"]
                self._turn.emit(ToolCall(call["name"], call_id, call["args"]))
            self._callbacks.nested.note_shown(call_id)

    def _finish(self, message: ToolMessage) -> None:
        call_id = message.tool_call_id
        tool = message.name or self._tools.get(call_id, "")
        if call_id in self._finished or tool in self.clients:
            return
        self._finished.add(call_id)
        if message.status == "error":
            output = {"error": str(message.text)}
            self._turn.emit(ToolResult(tool, call_id, output, status="error"))
        else:
            self._turn.emit(ToolResult(tool, call_id, output_of(message)))


class _Answer:
    """What a model has streamed so far."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.calls: list[AIMessageChunk] = []
