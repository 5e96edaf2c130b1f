"""The AI SDK's UI message stream, version 1 (``ai`` 5, 6 and 7): a turn as one assistant message.

A chunk that the client does not expect ends its stream with an error, so nothing is optional here
that can be left out: no null, no part without a start, no output without its call.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from wsgi_app.events import (
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
from wsgi_app.frames.sse import frame
from wsgi_app.wires.shared.asked import (
    ASK_TOOL,
    NO_RESULT,
    AskedQuestion,
    asking_call,
    asks_for_approval,
)

HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}
DONE: Final = frame(b"[DONE]")
#: What a replay shows as the answer to a question; the log does not hold it.
ANSWERED: Final = "(answered)"
_PREFIX: Final = "msg"


def message_id(session_id: str, turn: int) -> str:
    """The id of the assistant message that a turn becomes, the same in every replay."""
    return f"{_PREFIX}-{session_id}-{turn}"


def turn_of(message: str, session_id: str) -> int | None:
    """The turn that a message of this session is; None for a message of anybody else."""
    prefix = f"{_PREFIX}-{session_id}-"
    digits = message.removeprefix(prefix)
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 10  # noqa: PLR2004 - as in event ids
    return int(digits) if message.startswith(prefix) and is_number else None


class MessageStream:
    """Encodes a turn from its first event on; used by one thread.

    ``approvals`` says whether the client knows them; version 5 ends with an error at one. With
    ``after_question`` only what follows that question is sent, as the continuation of the same
    message; ``answer`` is what the client has answered. ``files_url`` is where files are.

    A step ends when its tool calls have their results: a front end that sends by itself what is
    complete looks at the last step alone, and would send it again after every answer. The step
    after them is never left empty, since the client does not show an empty one.
    """

    def __init__(
        self,
        message: str,
        *,
        approvals: bool = True,
        after_question: str | None = None,
        answer: Any = None,
        files_url: str = "files",
    ) -> None:
        #: The question that the last event asked, or that still waits.
        self.question: AskedQuestion | None = None
        self._message = message
        self._approvals = approvals
        self._after_question = after_question
        self._answer = answer
        self._files_url = files_url
        self._muted = after_question is not None
        self._chunks: list[bytes] = []
        self._started = False
        self._in_step = False
        self._is_empty = False
        self._part = ("", "")  # the open text's kind and id
        self._parts = 0
        self._known: set[str] = set()
        self._open: set[str] = set()
        self._in_this_step: set[str] = set()
        self._clients: set[str] = set()  # calls of the page's tools without a result

    def encode(self, numbered: NumberedEvent) -> bytes:
        """The frames of the next event."""
        event = numbered.event
        self._start()
        self._close_question(event)
        if isinstance(event, (Token, Thinking)):
            self._add_text("text" if isinstance(event, Token) else "reasoning", event.content)
        elif isinstance(event, ToolCall):
            self._add_call(event.call_id, event.tool, event.input)
        elif isinstance(event, ToolResult):
            self._add_result(event)
        elif isinstance(event, ToolRequest):
            self._request(event)
        elif isinstance(event, InputRequest):
            self._ask(event)
        elif isinstance(event, (Done, Error, Cancelled)):
            self._end(event)
        else:
            self._add_rare(event)
        return self._take(event)

    def _add_rare(self, event: AnyEvent) -> None:
        if isinstance(event, Status):
            self._add_data("status", {"content": event.content})
        elif isinstance(event, Gap):
            fields = {"missed_after": event.missed_after, "resumes_at": event.resumes_at}
            self._add_data("gap", fields)
        elif isinstance(event, Withdrawn):
            # What its front ends have stays; what counts comes in a step of its own.
            if not self._is_empty:
                self._leave_step()
            self._add_data("withdrawn", {"after": event.after})
        elif isinstance(event, Steered):
            fields = {"id": event.steer_id, "content": event.content, "status": event.status}
            self._add_data("steered", fields)
        elif isinstance(event, FileGiven):
            url = f"{self._files_url}/{event.file_id}"
            self._put("file", url=url, mediaType=event.media_type)

    def end_for_answer(self) -> bytes:
        """The frames that end the stream at a question, for the client to answer it."""
        finish = {"type": "finish", "finishReason": "tool-calls"}
        return frame(encode_json(finish)) + DONE

    def _take(self, event: Any) -> bytes:
        made, self._chunks = b"".join(self._chunks), []
        if not self._muted:
            return made
        if isinstance(event, InputRequest) and event.request_id == self._after_question:
            self._muted = self._started = False
        return b""

    def _put(self, kind: str, **fields: Any) -> None:
        self._is_empty = False
        self._chunks.append(frame(encode_json({"type": kind, **fields})))

    # -- the message and its steps

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._put("start", messageId=self._message)

    def _enter_step(self) -> None:
        if not self._in_step:
            self._in_step = True
            self._put("start-step")
            self._is_empty = True

    def _leave_step(self) -> None:
        self._close_part()
        if self._in_step:
            self._in_step = False
            self._in_this_step.clear()
            self._put("finish-step")

    def _end(self, event: Done | Error | Cancelled) -> None:
        self._close_calls()
        self._enter_step()
        if self._is_empty:
            self._open_part("text")
        self._leave_step()
        if isinstance(event, Done):
            if event.usage != Usage():
                self._add_data("usage", event.usage)
            self._put("finish", finishReason="stop")
        elif isinstance(event, Cancelled):
            self._put("abort", reason=event.reason)
        else:
            self._put("error", errorText=event.message)
        self._chunks.append(DONE)

    # -- parts

    def _add_text(self, kind: str, content: str) -> None:
        if not content:
            return
        if self._part[0] != kind:
            self._open_part(kind)
        self._put(f"{kind}-delta", id=self._part[1], delta=content)

    def _open_part(self, kind: str) -> None:
        self._close_part()
        self._enter_step()
        self._parts += 1
        self._part = (kind, f"{kind}-{self._parts}")
        self._put(f"{kind}-start", id=self._part[1])

    def _close_part(self) -> None:
        kind, part_id = self._part
        if kind:
            self._part = ("", "")
            self._put(f"{kind}-end", id=part_id)

    def _add_data(self, name: str, data: Any) -> None:
        """Report what is not kept in the message; it does not fill a step."""
        chunk = {"type": f"data-{name}", "data": data, "transient": True}
        self._chunks.append(frame(encode_json(chunk)))

    # -- tools; dynamic, since the front end does not know them

    def _add_call(self, call_id: str, tool: str, value: dict[str, Any]) -> None:
        if call_id in self._open:
            return  # the same call, sent again
        if call_id in self._in_this_step:
            self._leave_step()
        self._put_input(call_id, tool, value)
        self._open.add(call_id)
        self._in_this_step.add(call_id)

    def _put_input(
        self, call_id: str, tool: str, value: dict[str, Any], *, dynamic: bool = True
    ) -> None:
        self._close_part()
        self._enter_step()
        self._known.add(call_id)
        named = {"toolCallId": call_id, "toolName": tool}
        more = {"dynamic": True} if dynamic else {}
        self._put("tool-input-available", **named, input=value, **more)

    def _add_result(self, event: ToolResult) -> None:
        if event.call_id in self._clients:
            self._clients.discard(event.call_id)
            return  # its page has made it
        if event.call_id not in self._known:
            self._add_call(event.call_id, event.tool, {})
        self._close_part()
        self._enter_step()
        if event.status == "error":
            text = _error_text(event.output)
            self._put("tool-output-error", toolCallId=event.call_id, errorText=text, dynamic=True)
        else:
            self._put_output(event.call_id, event.output)
        self._open.discard(event.call_id)
        if self._in_this_step and not self._in_this_step & self._open:
            self._leave_step()
            self._enter_step()

    def _close_calls(self) -> None:
        """Close calls whose result never came: a page would show them as running for ever."""
        is_empty = self._is_empty
        for call_id in sorted(self._open):
            self._put_no_result(call_id)
        self._open.clear()
        self._is_empty = is_empty  # what was closed may stand in an earlier step
        if self._in_this_step:
            self._leave_step()

    def _put_no_result(self, call_id: str) -> None:
        self._put("tool-output-error", toolCallId=call_id, errorText=NO_RESULT, dynamic=True)

    def _put_output(self, call_id: str, output: Any) -> None:
        self._put("tool-output-available", toolCallId=call_id, output=output, dynamic=True)

    # -- questions

    def _request(self, event: ToolRequest) -> None:
        """Have the page run its tools; static ones, since it knows them."""
        if self._in_this_step & self._open:
            self._leave_step()
        for index, call in enumerate(event.calls):
            self._put_input(f"{event.request_id}.{index}", call.tool, call.input, dynamic=False)
            self._clients.add(call.call_id)
        self.question = AskedQuestion(event.request_id, self._open)
        self._leave_step()

    def _ask(self, event: InputRequest) -> None:
        """Ask on the call that waits, or on one of its own if that one is not alone in its step.

        A front end sends answers when all calls of the last step have one.
        """
        call_id = asking_call(event) if self._approvals else None
        is_alone = self._in_this_step & self._open == {call_id}
        if call_id is None or not is_alone:
            call_id = self._ask_by_call(event)
        if self._approvals and asks_for_approval(event):
            named = {"approvalId": event.request_id, "toolCallId": call_id}
            self._put("tool-approval-request", **named, reason=event.prompt)
        self.question = AskedQuestion(event.request_id, self._open)
        self._leave_step()

    def _ask_by_call(self, event: InputRequest) -> str:
        if self._in_this_step & self._open:
            self._leave_step()
        value: dict[str, Any] = {"prompt": event.prompt}
        if event.schema is not UNSET:
            value["schema"] = event.schema
        self._put_input(event.request_id, ASK_TOOL, value)
        return event.request_id

    def _close_question(self, event: Any) -> None:
        question = self.question
        if question is None or not question.closed_by(event):
            return
        self.question = None
        # A call that waited for approval is closed by its own result.
        if question.request_id not in self._known:
            return
        if isinstance(event, (Error, Cancelled)):
            self._put_no_result(question.request_id)
        else:
            is_own = question.request_id == self._after_question
            self._enter_step()
            self._put_output(question.request_id, self._answer if is_own else ANSWERED)


def _error_text(output: Any) -> str:
    if isinstance(output, dict) and isinstance(output.get("error"), str):
        return str(output["error"])
    return output if isinstance(output, str) else encode_json(output).decode()
