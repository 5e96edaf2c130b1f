"""A thread's events as the protocol writes them, each with its number in the thread.

The same on every worker and connection: an event's number and name follow from the native one that
it is made of, and what a client does not want is counted all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Optional

from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    EventId,
    Gap,
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
    Usage,
    encode_json,
)
from wsgi_app.frames.sse import frame
from wsgi_app.wires.langgraph.encode.blocks import OpenMessage
from wsgi_app.wires.langgraph.encode.messages import Answer, LangChainMessage, Names, size_of
from wsgi_app.wires.langgraph.encode.nodes import (
    GRAPH,
    TOOLS_NODE,
    by_node,
    call_ended,
    call_started,
)
from wsgi_app.wires.langgraph.encode.questions import interrupt_value
from wsgi_app.wires.langgraph.encode.sub_agents import ThreadLanes
from wsgi_app.wires.langgraph.ids import CheckpointRef, RunRef, event_number
from wsgi_app.wires.langgraph.request.events import Subscription
from wsgi_app.wires.shared.asked import AskedQuestion

#: A larger state is sent at a run's start and end alone, not after each round of calls.
MAX_REPEATED_CHARS: Final = 131_072
TAKEN_OVER: Final = "Another worker continues this."


class TurnStart(NumberedEvent, frozen=True, gc=False):
    """A turn has begun, and what its events are made with; stands in front of all others."""

    mark: str
    #: In milliseconds since the epoch.
    started_at: int
    human_id: str
    #: The messages before the turn, the user's at their end; None where the history has not its
    #: exchange.
    messages: Optional[tuple[LangChainMessage, ...]]


class Rewound(NumberedEvent, frozen=True, gc=False):
    """Another worker continues the turn: what of it counts."""

    counted: tuple[AnyEvent, ...]


class ThreadEncoder:
    """Encodes a thread from a turn's start on; used by one thread."""

    def __init__(self, wanted: Subscription, names: Names) -> None:
        self._wanted = wanted
        self._names = names
        self._frames: list[bytes] = []
        self._id = EventId(0, 0)
        self._index = 0
        self._turn: _Turn | None = None

    def encode(self, numbered: NumberedEvent) -> bytes:
        """The frames of the next event."""
        self._id, self._index = numbered.id, 0
        if isinstance(numbered, TurnStart):
            self._begin(numbered)
        elif isinstance(numbered.event, Gap):
            self._emit_gap(numbered.event)
        elif self._turn is not None:
            self._turn.take(numbered)
        made, self._frames = b"".join(self._frames), []
        return made

    def _begin(self, start: TurnStart) -> None:
        if self._turn is not None and start.id.turn < self._turn.number:
            self._wanted.since = -1  # the thread was deleted, and begins again
        self._turn = _Turn(self, start, self._names)
        self._turn.begin()

    def _emit_gap(self, gap: Gap) -> None:
        """Events that this client asked for are gone; one that asks for none misses none."""
        if self._wanted.since >= 0:
            payload = {"missed_after": gap.missed_after, "resumes_at": gap.resumes_at}
            data = {"name": "gap", "payload": payload}
            self.put("custom", data, event_id=f"gap-{gap.resumes_at}", timestamp=0, mark="")

    def wants(self, channel: str) -> bool:
        """Whether the client gets anything of a channel."""
        return self._wanted.wants(channel)

    def skip(self) -> None:
        """Count an event that is not made."""
        self._index += 1

    def put(  # noqa: PLR0913 - the parts of an event, by name
        self,
        method: str,
        data: Any,
        *,
        mark: str,
        timestamp: int,
        event_id: str = "",
        node: str = "",
        namespace: Sequence[str] = (),
    ) -> None:
        """Number an event, and send it if it is wanted."""
        number = event_number(self._id.turn, self._id.seq, self._index)
        name = event_id or f"{mark}-{self._id.seq}.{self._index}"
        self._index += 1
        channel = "input" if method.startswith("input.") else method
        if number <= self._wanted.since or not self._wanted.matches(channel, [*namespace], data):
            return
        params: dict[str, Any] = {"namespace": namespace, "timestamp": timestamp, "data": data}
        if node:
            params["node"] = node
        event = {"type": "event", "event_id": name, "seq": number}
        document = encode_json({**event, "method": method, "params": params})
        self._frames.append(frame(document, event_id=str(number), event=method))


class _Turn:
    """One turn's part of the stream."""

    def __init__(self, out: ThreadEncoder, start: TurnStart, names: Names) -> None:
        self._out = out
        self.number = start.id.turn
        self._start = start
        self._names = names
        self._answer = Answer(start.human_id, names)
        self._message = OpenMessage(lambda data: self._put("messages", data, node=GRAPH))
        self._lanes = ThreadLanes(self._put, names, start.human_id)
        self._rewinds = 0
        self._part = 0
        self._step = 0
        self._is_large = sum(map(size_of, start.messages or ())) > MAX_REPEATED_CHARS
        self._question: AskedQuestion | None = None
        self._handlers: dict[type[AnyEvent], Callable[[Any], None]] = {
            Token: self._add_text,
            Thinking: lambda one: self._message.think(self._answer.open_id, one.content),
            ToolCall: self._call,
            ToolResult: self._add_result,
            InputRequest: self._ask,
            ToolRequest: self._ask,
            Steered: self._steer,
            Status: lambda one: self._emit("status", {"content": one.content}),
            Done: self._end,
            Error: self._end,
            Cancelled: self._end,
            Nested: self._emit_nested,
        }

    def begin(self) -> None:
        self._emit_run("running")
        self._emit_state("input")

    def take(self, numbered: NumberedEvent) -> None:
        event = numbered.event
        if self._question is not None and self._question.closed_by(event):
            self._go_on(self._question.request_id)
        if isinstance(numbered, Rewound):
            self._rewind(numbered.counted)
        else:
            self._handlers.get(type(event), lambda _: None)(event)

    def _put(self, method: str, data: Any, **more: Any) -> None:
        self._out.put(method, data, mark=self._start.mark, timestamp=self._start.started_at, **more)

    def _emit(self, name: str, payload: dict[str, Any]) -> None:
        self._put("custom", {"name": name, "payload": payload})

    # -- text and calls

    def _emit_nested(self, event: Nested) -> None:
        self._lanes.take(event)

    def _add_text(self, event: Token) -> None:
        self._answer.take(event)
        if event.content:
            self._message.say(self._answer.open_id, event.content)

    def _call(self, event: ToolCall) -> None:
        if event.call_id in self._answer.open_calls:
            return  # the same call, sent again
        self._close_messages(self._answer.take(event))
        if not self._message.is_of_later(self._answer.calls_id):
            call_id, name = self._names.call_id(event.call_id), self._names.tool(event.tool)
            self._message.call(self._answer.calls_id, call_id, name, event.input)
        self._put("tools", call_started(self._names, event), node=TOOLS_NODE)

    def _add_result(self, event: ToolResult) -> None:
        if not self._answer.knows(event.call_id):
            self._call(ToolCall(event.tool, event.call_id, {}))
        if not self._message.is_of_later(self._answer.calls_id):
            self._message.finish()
        self._lanes.end_call(event.call_id, failed=event.status == "error")
        self._put("tools", call_ended(self._names, event), node=TOOLS_NODE)
        self._close_messages(self._answer.take(event))

    def _close_messages(self, made: Sequence[LangChainMessage]) -> None:
        """Report messages that are whole: what a graph's nodes would have added."""
        if not made:
            return
        self._update(made)
        self._emit_state("loop")

    def _update(self, made: Sequence[LangChainMessage]) -> None:
        for node, messages in by_node(made):
            if messages:
                data = {"node": node, "values": {"messages": messages}}
                self._put("updates", data, node=node)
            else:
                self._out.skip()

    def _steer(self, event: Steered) -> None:
        """The user has said something to the run; it is a message where the agent takes it."""
        self._emit("steered", {"content": event.content, "status": event.status})
        if event.status == "taken" and not self._answer.open_calls:
            self._message.finish()
        self._close_messages(self._answer.take(event))

    # -- questions

    def _ask(self, event: InputRequest) -> None:
        for call in event.calls if isinstance(event, ToolRequest) else ():
            self._call(ToolCall(call.tool, call.call_id, call.input))
        self._message.finish()
        value = interrupt_value(event)
        data = {"interrupt_id": event.request_id, "payload": value, "value": value}
        self._put("input.requested", data)
        self._question = AskedQuestion(event.request_id, self._answer.open_calls)
        self._emit_run("interrupted")

    def _go_on(self, request_id: str) -> None:
        """The question has its answer: what comes is the next run's."""
        self._question = None
        self._put("input.answered", {"interrupt_ids": [request_id]})
        self._part += 1
        self._emit_run("running")

    # -- a turn taken over

    def _rewind(self, counted: Sequence[AnyEvent]) -> None:
        """Begin again behind what counts; its messages are sent again under their ids."""
        self._message.fail(TAKEN_OVER)
        self._lanes.withdraw(TAKEN_OVER)
        self._rewinds += 1
        again = f"{self._start.human_id}~{self._rewinds}"  # clients keep pieces by their ids
        self._lanes = ThreadLanes(self._put, self._names, again)
        self._answer = Answer(self._start.human_id, self._names)
        for event in counted:
            self._answer.take(event)
        self._emit("withdrawn", {})
        self._emit_state("loop")
        text = self._answer.open_text
        if text:
            self._message.say(self._answer.open_id, text)

    # -- states and ends

    def _end(self, event: Done | Error | Cancelled) -> None:
        self._lanes.end(failed=not isinstance(event, Done))
        usage = event.usage if isinstance(event, Done) else Usage()
        self._message.finish(usage)
        for given in self._answer.open_calls:
            stopped = {"event": "tool-error", "tool_call_id": self._names.call_id(given)}
            self._put("tools", {**stopped, "message": "The call was stopped."}, node=TOOLS_NODE)
        self._update(self._answer.close())
        self._emit_state("loop", is_last=True)
        if isinstance(event, Error):
            self._emit_run("failed", error=event.message, code=event.code)
            return
        if isinstance(event, Cancelled):
            # As of LangGraph's own servers; langgraph-sdk for Python waits on, as for an answer.
            self._emit_run("interrupted")
        self._emit_run("completed")

    def _emit_state(self, source: str, *, is_last: bool = False) -> None:
        """The whole state, and in front of it which one it is."""
        self._step += 1
        before = CheckpointRef(self._start.id.turn, self._step, self._start.mark)
        ref = before.last() if is_last else before
        is_between = source == "loop" and not is_last
        if self._start.messages is None or (is_between and self._is_large):
            self._out.skip()
            self._out.skip()
            return
        data = {"id": ref.id, "parent_id": before.before().id}
        self._put("checkpoints", {**data, "step": ref.number, "source": source})
        if not self._out.wants("values"):
            self._out.skip()
            return
        self._put("values", {"messages": [*self._start.messages, *self._answer.messages]})

    def _emit_run(self, status: str, **more: str) -> None:
        run = RunRef(self._start.id.turn, self._part, self._start.mark)
        # The form in which clients find the run's id.
        event_id = f"synth:{run.id}:lc|{status}"
        self._put("lifecycle", {"event": status, "graph_name": GRAPH, **more}, event_id=event_id)
