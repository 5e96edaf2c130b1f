"""A turn, or the part of one up to a question, as OpenAI's Responses API shows it.

The tools that the agent has run are items of the output, each with its result, in a form of
`HostCalls`. A question is a ``function_call`` of `ASK_USER`, the only one for the client to answer:
it ends the response, and its answer begins the next one. Sequence numbers count the turn's events
before any merging, so that a response read again from anywhere has the same ones.
"""

from __future__ import annotations

from typing import Any, Final

from wsgi_app.events import (
    LOST_SEQ,
    AnyEvent,
    Cancelled,
    Done,
    Error,
    FileGiven,
    Gap,
    InputRequest,
    NumberedEvent,
    Status,
    Steered,
    Thinking,
    Token,
    ToolCall,
    ToolRequest,
    ToolResult,
    Usage,
    Withdrawn,
    encode_json,
)
from wsgi_app.wires.openai.encode.chat import CUT_OFF, NOT_KEPT
from wsgi_app.wires.openai.encode.document import ResponseAbout, error_field
from wsgi_app.wires.openai.encode.files import paragraph_of
from wsgi_app.wires.openai.encode.host_calls import HostCalls, McpCalls, ToldCalls
from wsgi_app.wires.openai.encode.items import (
    ASK_USER,
    MESSAGE,
    REASONING,
    Item,
    StreamEvent,
    TextKind,
    call_arguments,
    open_call,
)
from wsgi_app.wires.openai.ids import PartRef, ResponseRef, call_name

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponseBuilder:
    """Puts a response together from its turn's events; used by one reader's thread.

    It takes the events from the turn's first one on: a call may have begun before its response.
    """

    def __init__(self, ref: ResponseRef, about: ResponseAbout) -> None:
        self.status = "in_progress"
        #: What the turn failed with.
        self.error: Error | None = None
        #: Whether events are missing that are no longer kept.
        self.has_gap = False
        #: Whether it has ended for another one that continues.
        self.was_steered = False
        self.next_number = 0
        #: The last event taken.
        self.seq = 0
        self._ref = ref
        self._about = about
        self._form: HostCalls = McpCalls() if ref.mcp else ToldCalls()
        self._code = ref.code
        self._output: list[Item] = []
        #: Calls without a result: those of earlier responses, and this one's with their places.
        self._earlier_calls: dict[str, ToolCall] = {}
        self._running_calls: dict[str, tuple[int, ToolCall]] = {}
        #: Calls of the client's tools in earlier responses, without a result so far.
        self._clients: set[str] = set()
        self._open: TextKind | None = None
        self._text: list[str] = []
        #: What is noted of the open text.
        self._notes: list[Item] = []
        self._incomplete_reason: str | None = None
        self._is_cut_off = False
        self._usage: Usage | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more belongs to the response."""
        return self.status != "in_progress"

    def is_or_follows(self, response_id: str) -> bool:
        """Whether it is this response, or one of the same turn."""
        try:
            ref = ResponseRef.parse(response_id)
        except ValueError:
            return False
        return ref[:2] == self._ref[:2]

    def required_input(self) -> list[Item]:
        """Stubs of the outputs that its client owes."""
        return [
            {"type": "function_call_output", "call_id": item["call_id"], "name": item["name"]}
            for item in self._output
            if item["type"] == "function_call"
        ]

    def opening(self) -> list[StreamEvent]:
        """What stands before all else; called once, and first."""
        return [
            self._event("response.created", response=self.document()),
            self._event("response.in_progress", response=self.document()),
        ]

    def take(self, numbered: NumberedEvent) -> list[StreamEvent]:
        """Take the next event; returns what it adds to the stream."""
        seq, event = numbered.id.seq, numbered.event
        if self.ended or (seq <= self.seq and not isinstance(event, Gap)):
            return []
        joined, self.seq = seq - self.seq, seq
        if 0 < seq <= self._ref.after_seq:
            self._note_earlier(event)
            return []
        if seq == LOST_SEQ or isinstance(event, Withdrawn):
            # Its readers may have had events that were not kept: it stands behind all of them.
            self.next_number = max(self.next_number, seq)
        if isinstance(event, Token):
            self._is_cut_off = False
            return self._add_text(MESSAGE, event.content, joined)
        if isinstance(event, Thinking):
            return self._add_text(REASONING, event.content, joined)
        if isinstance(event, Steered):
            return self._leave_for_successor() if event.status == "taken" else []
        return self._take_tool(event)

    def document(self, status: str | None = None) -> Item:
        """The response so far; ``status`` stands for its own one."""
        reason = self._incomplete_reason
        # None is sent of a turn that continues behind a question.
        return self._about.document(
            status=status or self.status,
            usage=self._usage or Usage() if self.ended else None,
            id=self._ref.id,
            created_at=self._ref.created_at,
            background=self._ref.background,
            error=self.error and error_field(self.error),
            incomplete_details=None if reason is None else {"reason": reason},
            output=self._items(),
        )

    # -- what stands in the output

    def _items(self) -> list[Item]:
        if self._open is None:
            return list(self._output)
        item_id = self._item_id(self._open.prefix, len(self._output))
        part = self._open.part("".join(self._text), [*self._notes])
        return [*self._output, self._open.item(item_id, "in_progress", part)]

    def _item_id(self, prefix: str, index: int) -> str:
        return f"{prefix}_{self._code}_{index}"  # a PartRef's

    def _add_text(self, kind: TextKind, text: str, joined: int) -> list[StreamEvent]:
        made: list[StreamEvent] = []
        if self._open is not kind:
            made = self._close_text()
            made += self._open_text(kind)
        if not text:
            self.next_number += joined
            return made
        self.next_number += joined - 1
        self._text.append(text)
        made.append(self._text_event(kind, kind.delta, delta=text, **kind.more))
        return made

    def _add_file(self, file: FileGiven) -> list[StreamEvent]:
        before = "".join(self._text) if self._open is MESSAGE else ""
        link = self._about.link_to(file)
        text, offset = paragraph_of(link, behind_text=bool(before))
        note = {"type": "url_citation", **link.citation(len(before) + offset)}
        made = self._add_text(MESSAGE, text, 1)
        fields = {"annotation_index": len(self._notes), "annotation": note}
        self._notes.append(note)
        return [
            *made,
            self._text_event(MESSAGE, "response.output_text.annotation.added", **fields),
        ]

    def _open_text(self, kind: TextKind) -> list[StreamEvent]:
        self._open = kind
        index = len(self._output)
        item = kind.item(self._item_id(kind.prefix, index), "in_progress", None)
        return [
            self._item_event("added", index, item),
            self._text_event(kind, kind.part_added, part=kind.part("")),
        ]

    def _close_text(self, status: str = "completed") -> list[StreamEvent]:
        kind, text = self._open, "".join(self._text)
        if kind is None:
            return []
        index, part = len(self._output), kind.part(text, self._notes)
        item = kind.item(self._item_id(kind.prefix, index), status, part)
        made = [
            self._text_event(kind, kind.done, text=text, **kind.more),
            self._text_event(kind, kind.part_done, part=part),
            self._item_event("done", index, item),
        ]
        self._output.append(item)
        self._open, self._text, self._notes = None, [], []
        return made

    def _text_event(self, kind: TextKind, name: str, **fields: Any) -> StreamEvent:
        index = len(self._output)
        item_id = self._item_id(kind.prefix, index)
        ids = {"item_id": item_id, "output_index": index, kind.index_name: 0}
        return self._event(name, **ids, **fields)

    def _note_earlier(self, event: AnyEvent) -> None:
        if isinstance(event, ToolRequest):
            self._clients.update(call.call_id for call in event.calls)
        elif isinstance(event, ToolCall):
            self._earlier_calls[event.call_id] = event
        elif isinstance(event, ToolResult):
            self._earlier_calls.pop(event.call_id, None)

    def _take_tool(self, event: AnyEvent) -> list[StreamEvent]:
        if isinstance(event, Withdrawn):
            return self._close_text("incomplete")
        if isinstance(event, ToolCall):
            return self._close_text() + self._begin_call(event)
        if isinstance(event, FileGiven):
            return self._add_file(event)
        return self._end_call(event) if isinstance(event, ToolResult) else self._take_rare(event)

    def _begin_call(self, call: ToolCall) -> list[StreamEvent]:
        index = len(self._output)
        self._running_calls[call.call_id] = index, call
        added, (item, pieces) = self._form.begin(self._item_id(self._form.prefix, index), call)
        self._output.append(item)
        return [self._item_event("added", index, added), *self._piece_events(index, pieces)]

    def _end_call(self, result: ToolResult) -> list[StreamEvent]:
        made: list[StreamEvent] = []
        if result.call_id in self._clients:
            self._clients.discard(result.call_id)
            return made  # its client has made it
        if result.call_id not in self._running_calls:
            unknown = ToolCall(result.tool, result.call_id, {})
            call = self._earlier_calls.pop(result.call_id, unknown)
            made = self._close_text() + self._begin_call(call)
        index, call = self._running_calls.pop(result.call_id)
        item, pieces = self._form.end(self._output[index], call, result)
        self._output[index] = item
        return [*made, *self._piece_events(index, pieces), self._item_event("done", index, item)]

    def _piece_events(self, index: int, pieces: list[tuple[str, Item]]) -> list[StreamEvent]:
        ids = {"item_id": self._output[index]["id"], "output_index": index}
        return [self._event(kind, **ids, **fields) for kind, fields in pieces]

    def _leave_calls(self) -> list[StreamEvent]:
        made = []
        for index, item in enumerate(self._output):
            if item["status"] == "in_progress":
                left = self._output[index] = {**item, "status": "incomplete"}
                made.append(self._item_event("done", index, left))
        return made

    def _ask(self, question: InputRequest) -> list[StreamEvent]:
        if not isinstance(question, ToolRequest):
            return self._open_call(question.request_id, ASK_USER, call_arguments(question))
        made: list[StreamEvent] = []
        for index, call in enumerate(question.calls):
            name = call_name(question.request_id, index)
            made += self._open_call(name, call.tool, encode_json(call.input).decode())
        return made

    def _open_call(self, name: str, tool: str, arguments: str) -> list[StreamEvent]:
        index = len(self._output)
        item_id = self._item_id("fc", index)
        call_id = PartRef(self._ref, "call", name).id
        begun, item = (open_call(item_id, call_id, tool, text) for text in ("", arguments))
        self._output.append(item)
        ids = {"item_id": item_id, "output_index": index}
        kind = "response.function_call_arguments"
        return [
            self._item_event("added", index, begun),
            self._event(f"{kind}.delta", **ids, delta=arguments),
            self._event(f"{kind}.done", **ids, name=tool, arguments=arguments),
            self._item_event("done", index, item),
        ]

    # -- the end

    def _take_rare(self, event: AnyEvent) -> list[StreamEvent]:
        if isinstance(event, Status):
            self._is_cut_off = self._is_cut_off or event.content == CUT_OFF
        elif isinstance(event, InputRequest):
            return self._close_text() + self._leave_calls() + self._ask(event) + self._end()
        elif isinstance(event, Done):
            self._usage = event.usage
            reason = _INCOMPLETE["length"] if self._is_cut_off else None
            return self._close_text() + self._leave_calls() + self._end("completed", reason)
        elif isinstance(event, Cancelled):
            return self._break_off() + self._end("cancelled")
        elif isinstance(event, Gap):
            self.has_gap = True
            return self._fail(NOT_KEPT)
        elif isinstance(event, Error):
            return self._fail(event)
        return []

    def _leave_for_successor(self) -> list[StreamEvent]:
        """End where the agent takes what was said; not where it has taken other things just now."""
        is_fresh = self._ref.after_seq > 0 and not self._output and self._open is None
        if is_fresh or not self._ref.steered:
            return []
        self.was_steered = True
        return self._close_text() + self._leave_calls() + self._end("incomplete", "steered")

    def _break_off(self) -> list[StreamEvent]:
        return self._close_text("incomplete") + self._leave_calls()

    def _fail(self, error: Error) -> list[StreamEvent]:
        made = self._break_off()
        reason = _INCOMPLETE.get(str(error.details.get("finish_reason")))
        if reason is not None:
            return made + self._end("incomplete", reason)
        self.error = error
        return made + self._end("failed")

    def _end(
        self, status: str = "completed", incomplete_reason: str | None = None
    ) -> list[StreamEvent]:
        self._incomplete_reason = incomplete_reason
        self.status = status if incomplete_reason is None else "incomplete"
        # No event of its own in the protocol; the document has the status.
        kind = "incomplete" if self.status == "cancelled" else self.status
        return [self._event(f"response.{kind}", response=self.document())]

    def _item_event(self, what: str, index: int, item: Item) -> StreamEvent:
        return self._event(f"response.output_item.{what}", output_index=index, item=item)

    def _event(self, kind: str, **fields: Any) -> StreamEvent:
        self.next_number += 1
        return StreamEvent(self.next_number - 1, kind, fields)
