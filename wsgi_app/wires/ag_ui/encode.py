"""AG-UI 1.0: a turn as a run of a thread, and each question as an interrupt that ends a run.

The client ends a stream with an error at anything that it does not expect: no null, no empty
delta, no end without a start, and nothing open when a run finishes.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    FileGiven,
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
    Withdrawn,
    encode_json,
)
from wsgi_app.frames.sse import frame
from wsgi_app.wires.ag_ui.lane import Lane
from wsgi_app.wires.ag_ui.request import InterruptId, ToolCallId
from wsgi_app.wires.ag_ui.sub_agents import SubAgents
from wsgi_app.wires.shared.asked import NO_RESULT, AskedQuestion, asking_call, asks_for_approval

PROTOCOL_VERSION: Final = "1.0"


class Run(NamedTuple):
    """One run as its client names it, and what the ids in it begin with."""

    thread_id: str
    run_id: str
    #: Of the run that began the turn: a run that continues it names the same calls.
    tag: str
    #: Whether the client knows what came with version 1.0.
    speaks_1: bool = True


class RunEncoder:
    """Encodes a turn from its first event on; used by one thread.

    With ``after_question`` only what follows that question is sent. Ids are made of the seq of the
    first event that they name, so that a run read again has the same ones.
    """

    def __init__(self, run: Run, after_question: str | None = None) -> None:
        #: The question that the last event asked, or that still waits.
        self.question: AskedQuestion | None = None
        self._run = run
        self._after_question = after_question
        self._muted = after_question is not None
        self._frames: list[bytes] = []
        self._seq = 0
        self._interrupt: dict[str, str | dict[str, Any]] = {}
        self._calls: dict[str, str] = {}  # those without a result, by the agent's ids
        self._clients: set[str] = set()  # calls of the page's tools without a result
        self._requests_tools = False  # whether the newest question is for these
        self._lane = Lane(self._put, self._id)
        self._sub_agents = SubAgents(self._put, self._id, self._calls)

    def opening(self) -> bytes:
        """The frame that stands before all others."""
        version = {"protocolVersion": PROTOCOL_VERSION} if self._run.speaks_1 else {}
        self._put("RUN_STARTED", **self._names(), **version)
        return self._flush()

    def encode(self, numbered: NumberedEvent) -> bytes:
        """The frames of the next event."""
        event = numbered.event
        first_seq, self._seq = self._seq + 1, numbered.id.seq
        if self.question is not None and self.question.closed_by(event):
            self.question = None
        if isinstance(event, (Token, Thinking)):
            self._lane.add_text(event, first_seq)
        elif isinstance(event, ToolCall):
            self._add_call(event.call_id, event.tool, event.input)
        elif isinstance(event, ToolResult):
            self._add_result(event)
        elif isinstance(event, ToolRequest):
            self._request(event, numbered.id.turn)
        elif isinstance(event, InputRequest):
            self._ask(event, numbered.id.turn)
        elif isinstance(event, (Done, Error, Cancelled)):
            self._end(event)
        elif not isinstance(event, Nested):
            self._put_rare(event)
        elif self._run.speaks_1:
            self._sub_agents.take(event, first_seq)
        return self._unmuted(event)

    def put_status(self, content: str) -> bytes:
        """The frame of a word from the host itself."""
        self._put("CUSTOM", name="status", value={"content": content})
        return self._flush()

    def end_for_answer(self) -> bytes:
        """The frames that end the run at the question.

        For a run that resumes; older clients show it as text, which their next message answers.
        """
        if self._requests_tools:
            self._put("RUN_FINISHED", **self._names())
        elif self._run.speaks_1:
            self._sub_agents.suspend(self.interrupt_id)
            outcome = {"type": "interrupt", "interrupts": [self._interrupt]}
            self._put("RUN_FINISHED", **self._names(), outcome=outcome)
        else:
            self._put_message(self._id("ask", self._seq), str(self._interrupt["message"]))
            self._put("RUN_FINISHED", **self._names())
        return self._flush()

    def _unmuted(self, event: AnyEvent) -> bytes:
        if not self._muted:
            return self._flush()
        frames, self._frames = self._frames, []
        if isinstance(event, InputRequest) and event.request_id == self._after_question:
            self._muted = False
            self._sub_agents.end()  # they begin again in this run
            self._frames = []
        # The end is sent in any case: the question may no longer be kept.
        return frames[-1] if isinstance(event, (Done, Error, Cancelled)) else b""

    def _put(self, kind: str, **fields: Any) -> None:
        self._frames.append(frame(encode_json({"type": kind, **fields})))

    def _flush(self) -> bytes:
        made, self._frames = b"".join(self._frames), []
        return made

    def _names(self) -> dict[str, str]:
        return {"threadId": self._run.thread_id, "runId": self._run.run_id}

    def _id(self, kind: str, seq: int) -> str:
        return f"{kind}-{self._run.tag}-{seq}"

    # -- text

    def _put_message(self, message: str, text: str) -> None:
        self._put("TEXT_MESSAGE_START", messageId=message, role="assistant")
        if text:
            self._put("TEXT_MESSAGE_CONTENT", messageId=message, delta=text)
        self._put("TEXT_MESSAGE_END", messageId=message)

    # -- tools

    def _add_call(self, agents_id: str, tool: str, value: dict[str, Any]) -> str:
        if agents_id in self._calls:
            self._lane.add_result(self._calls.pop(agents_id), NO_RESULT)
        call_id = self._id("call", self._seq)
        self._lane.add_call(call_id, tool, value)
        self._calls[agents_id] = call_id
        return call_id

    def _add_result(self, event: ToolResult) -> None:
        if event.call_id in self._clients:
            self._clients.discard(event.call_id)
            return  # its page has made it
        self._lane.close_text()
        self._sub_agents.end_call(event.call_id, event)
        if event.call_id not in self._calls:
            self._add_call(event.call_id, event.tool, {})
        self._lane.add_result(self._calls.pop(event.call_id), event.output)

    # -- questions

    def _request(self, event: ToolRequest, turn: int) -> None:
        """Have the page run its tools: calls without a result, as a model's own."""
        interrupt_id = InterruptId("input", turn, self._run.tag, event.request_id)
        for index, call in enumerate(event.calls):
            call_id = str(ToolCallId(interrupt_id, index))
            self._lane.add_call(call_id, call.tool, call.input)
            self._clients.add(call.call_id)
        self._lane.leave_message()
        self._requests_tools = True
        self._interrupt = {"id": str(interrupt_id), "reason": "input", "message": event.prompt}
        self.question = AskedQuestion(event.request_id, self._calls)

    def _ask(self, event: InputRequest, turn: int) -> None:
        self._lane.leave_message()
        self._requests_tools = False
        kind = "approval" if asks_for_approval(event) else "input"
        interrupt = str(InterruptId(kind, turn, self._run.tag, event.request_id))
        self._interrupt = {"id": interrupt, "reason": kind, "message": event.prompt}
        call_id = self._calls.get(asking_call(event) or "")
        if call_id is not None:
            self._interrupt["toolCallId"] = call_id
        if isinstance(event.schema, dict):
            self._interrupt["responseSchema"] = event.schema
        self.question = AskedQuestion(event.request_id, self._calls)

    @property
    def interrupt_id(self) -> str:
        """The name of the question that was asked last; empty if there was none."""
        return str(self._interrupt.get("id", ""))

    # -- the rest

    def _put_rare(self, event: AnyEvent) -> None:
        if isinstance(event, Status):
            self._put("CUSTOM", name="status", value={"content": event.content})
        elif isinstance(event, Gap):
            # What was open is not what comes next.
            self._lane.leave_message()
            fields = {"missed_after": event.missed_after, "resumes_at": event.resumes_at}
            self._put("CUSTOM", name="gap", value=fields)
        elif isinstance(event, Withdrawn):
            # What its clients have stays; what counts comes in a message of its own.
            self._lane.close_text()
            self._sub_agents.end("Another worker continues this.")
            self._put("CUSTOM", name="withdrawn", value={"after": event.after})
        elif isinstance(event, Steered):
            fields = {"id": event.steer_id, "content": event.content, "status": event.status}
            self._put("CUSTOM", name="steered", value=fields)
        elif isinstance(event, FileGiven):
            about = {"name": event.name, "mimeType": event.media_type, "size": event.size}
            self._put("CUSTOM", name="file", value={"id": event.file_id, **about})

    def _end(self, event: Done | Error | Cancelled) -> None:
        self._lane.close_text()
        self._sub_agents.end("" if isinstance(event, Done) else "The turn has ended.")
        for call_id in self._calls.values():
            self._lane.add_result(call_id, NO_RESULT)
        if isinstance(event, Error):
            self._put("RUN_ERROR", message=event.message, code=event.code)
        elif isinstance(event, Done):
            self._put("RUN_FINISHED", **self._names(), **self._usage(event.usage))
        elif self._run.speaks_1:
            self._put("RUN_FINISHED", **self._names(), outcome={"type": "cancelled"})
        else:
            # To older clients a run that has finished was a success.
            self._put("RUN_ERROR", message="The turn was cancelled.", code="cancelled")

    def _usage(self, usage: Usage) -> dict[str, Any]:
        if usage == Usage() or not self._run.speaks_1:
            return {}
        counts = {
            "inputTokens": usage.input_tokens,
            "outputTokens": usage.output_tokens,
            "totalTokens": usage.total_tokens,
        }
        return {"usage": [counts]}
