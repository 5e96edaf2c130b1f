"""One run as the older routes stream it: by modes, each event under its number in the thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    EventId,
    InputRequest,
    Nested,
    NumberedEvent,
    Status,
    Steered,
    Thinking,
    Token,
    ToolCall,
    ToolRequest,
    ToolResult,
    encode_json,
)
from wsgi_app.frames.sse import frame
from wsgi_app.wires.langgraph.encode.events import Rewound, TurnStart
from wsgi_app.wires.langgraph.encode.messages import Answer, LangChainMessage, Names
from wsgi_app.wires.langgraph.encode.nodes import (
    GRAPH,
    TOOLS_NODE,
    by_node,
    call_chunk,
    message_chunk,
    thought,
)
from wsgi_app.wires.langgraph.encode.questions import interrupt_value
from wsgi_app.wires.langgraph.encode.raw_events import RawEvents
from wsgi_app.wires.langgraph.encode.sub_agents import SEPARATOR, RunLanes
from wsgi_app.wires.langgraph.ids import RunRef, event_number
from wsgi_app.wires.langgraph.request.runs import MODE_MARKS, SUBGRAPHS
from wsgi_app.wires.shared.asked import AskedQuestion


class RunEncoder:
    """Encodes a run of a turn; used by one thread.

    It is given the turn from its start on, and leaves out what is of the turn's other runs, and
    what the client has: up to ``since``.
    """

    def __init__(
        self, run: RunRef, thread_id: str, modes: frozenset[str], names: Names, since: int = -1
    ) -> None:
        #: Whether the run has ended.
        self.ended = False
        self._run = run
        self._thread_id = thread_id
        self._modes = modes
        #: What ids end with, so that who comes back with one gets what it wanted.
        self._mark = "".join(mark for mark, mode in MODE_MARKS.items() if mode in modes)
        self._names = names
        self._since = since
        self._frames: list[bytes] = []
        self._id = EventId(0, 0)
        self._index = 0
        self._start: TurnStart | None = None
        self._answer = Answer("", names)
        self._part = 0
        self._question: AskedQuestion | None = None
        #: Messages that were sent in pieces, and those of them that no longer count.
        self._streamed: set[str] = set()
        self._withdrawn: set[str] = set()
        self._rewinds = 0
        self._handlers: dict[type[AnyEvent], Callable[[Any], None]] = {
            Token: self._add_text,
            Thinking: self._think,
            ToolCall: self._call,
            ToolResult: self._add_result,
            InputRequest: self._ask,
            ToolRequest: self._ask,
            Steered: lambda one: self._close_messages(self._answer.take(one)),
            Status: lambda one: self._put("custom", {"status": one.content}),
            Done: self._end,
            Error: self._end,
            Cancelled: self._end,
            Nested: self._emit_nested,
        }
        self._lanes = self._new_lanes("")
        self._raw = RawEvents(
            lambda data: self._put("events", data), self._about, names, wanted="events" in modes
        )

    @property
    def _about(self) -> dict[str, Any]:
        return {"run_id": self._run.id, "thread_id": self._thread_id}

    def encode(self, numbered: NumberedEvent) -> bytes:
        """The frames of the next event."""
        self._id, self._index = numbered.id, 0
        if isinstance(numbered, TurnStart):
            is_its = (numbered.id.turn, numbered.mark) == (self._run.turn, self._run.mark)
            self._start = numbered if is_its else None
            self._begin()
        elif self._start is not None and not self.ended:
            self._take(numbered)
        made, self._frames = b"".join(self._frames), []
        return made

    def _take(self, numbered: NumberedEvent) -> None:
        event = numbered.event
        if self._question is not None and self._question.closed_by(event):
            self._question = None
            self._part += 1
            self._emit_run()
            self._raw.begin(self._values)
        if isinstance(numbered, Rewound):
            self._rewind(numbered.counted)
        else:
            self._handlers.get(type(event), lambda _: None)(event)

    def _new_lanes(self, human_id: str) -> RunLanes:
        return RunLanes(self._put, self._names, human_id, self._about)

    def _put(self, mode: str, data: Any, event: str = "") -> None:
        """Number an event, and send it if it is this run's, new and wanted."""
        number = event_number(self._id.turn, self._id.seq, self._index)
        self._index += 1
        wanted = mode in self._modes or mode == ""
        if SEPARATOR in event and SUBGRAPHS not in self._modes:
            return
        if wanted and number > self._since and self._part == self._run.part and not self.ended:
            name = f"{number}{self._mark}"
            self._frames.append(frame(encode_json(data), event_id=name, event=event or mode))

    # -- the run

    def _begin(self) -> None:
        if self._start is not None:
            self._answer = Answer(self._start.human_id, self._names)
            self._lanes = self._new_lanes(self._start.human_id)
            self._part, self._question = 0, None
            self._emit_run()
            self._emit_values()
            self._raw.begin(self._values)

    def _emit_run(self) -> None:
        self._put("", {**self._about, "attempt": 1}, "metadata")

    @property
    def _values(self) -> dict[str, Any]:
        before = () if self._start is None else self._start.messages or ()
        return {"messages": [*before, *self._answer.messages]}

    def _emit_values(self, interrupts: Sequence[dict[str, Any]] = ()) -> None:
        values = self._values
        self._put("values", {**values, "__interrupt__": list(interrupts)} if interrupts else values)

    def _rewind(self, counted: Sequence[AnyEvent]) -> None:
        """Begin again behind what counts.

        Clients add pieces to what they have under a message's id, so that it has another one until
        its state comes.
        """
        self._answer = Answer("" if self._start is None else self._start.human_id, self._names)
        for event in counted:
            self._answer.take(event)
        self._withdrawn = self._streamed - {one["id"] for one in self._answer.messages}
        self._rewinds += 1
        human_id = "" if self._start is None else self._start.human_id
        self._lanes = self._new_lanes(f"{human_id}~{self._rewinds}")
        self._emit_values()
        if self._answer.open_text:
            self._emit_chunk(self._answer.open_id, self._answer.open_text)

    # -- text and calls

    def _emit_nested(self, event: Nested) -> None:
        self._lanes.take(event)

    def _emit_message(self, message: LangChainMessage, node: str) -> None:
        node_fields = {"langgraph_node": node, "langgraph_checkpoint_ns": "", "tags": []}
        metadata = {**self._about, **node_fields}
        self._put("messages-tuple", [message, metadata], "messages")

    def _emit_chunk(self, message_id: str, content: str, **more: Any) -> None:
        self._streamed.add(message_id)
        if message_id in self._withdrawn:
            message_id = f"{message_id}~{self._rewinds}"
        chunk = message_chunk(message_id, content, more)
        self._emit_message(chunk, GRAPH)
        self._raw.piece(chunk)

    def _add_text(self, event: Token) -> None:
        self._answer.take(event)
        if event.content:
            self._emit_chunk(self._answer.open_id, event.content)
            whole = {"type": "ai", "id": self._answer.open_id, "content": self._answer.open_text}
            self._put(
                "messages", [whole] if "messages" in self._modes else None, "messages/partial"
            )

    def _think(self, event: Thinking) -> None:
        self._emit_chunk(self._answer.open_id, "", **thought(event.content))

    def _call(self, event: ToolCall) -> None:
        if event.call_id in self._answer.open_calls:
            return  # the same call, sent again
        self._close_messages(self._answer.take(event))
        chunk = call_chunk(self._names, event, self._answer.call_count - 1)
        self._emit_chunk(self._answer.calls_id, "", **chunk)
        self._raw.call(event)

    def _add_result(self, event: ToolResult) -> None:
        if not self._answer.knows(event.call_id):
            self._call(ToolCall(event.tool, event.call_id, {}))
        self._lanes.end_call(event.call_id)
        self._raw.result(event)
        self._close_messages(self._answer.take(event))

    def _close_messages(self, made: Sequence[LangChainMessage]) -> None:
        if made:
            self._emit_whole(made)
            self._emit_values()

    def _emit_whole(self, made: Sequence[LangChainMessage]) -> None:
        """Report messages that are whole: results as they are, all as what the nodes add."""
        for node, messages in by_node(made):
            for message in messages if node == TOOLS_NODE else ():
                self._emit_message(message, node)
            if messages:
                self._put("messages", messages, "messages/complete")
                self._put("updates", {node: {"messages": messages}})
                self._raw.whole(messages)
                self._raw.update({node: {"messages": messages}})

    # -- ends

    def _ask(self, event: InputRequest) -> None:
        for call in event.calls if isinstance(event, ToolRequest) else ():
            self._call(ToolCall(call.tool, call.call_id, call.input))
        self._question = AskedQuestion(event.request_id, self._answer.open_calls)
        interrupt = {"id": event.request_id, "value": interrupt_value(event)}
        self._put("updates", {"__interrupt__": [interrupt]})
        self._emit_values([interrupt])
        self._raw.update({"__interrupt__": [interrupt]})
        self._raw.end(self._values)
        self._put("", None, "end")
        self.ended = self._part == self._run.part

    def _end(self, event: Done | Error | Cancelled) -> None:
        self._lanes.end()
        self._emit_whole(self._answer.close())
        self._emit_values()
        self._raw.end(self._values)
        if isinstance(event, Error):
            self._put("", {"error": event.code, "message": event.message}, "error")
        self._put("", None, "end")
        self.ended = True
