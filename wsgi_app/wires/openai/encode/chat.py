"""A turn as OpenAI's chat completion: the agent runs its tools itself, the client its own.

Thinking goes out as ``reasoning_content``, which many user interfaces read. A question ends the
completion with its prompt as text: the protocol has no way to answer one, but the user reads it,
and answers with the next message.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    EventId,
    FileGiven,
    Gap,
    InputRequest,
    NumberedEvent,
    Status,
    Thinking,
    Token,
    ToolRequest,
    Usage,
    Withdrawn,
    encode_json,
)
from wsgi_app.frames.sse import frame
from wsgi_app.wires.openai.encode.errors import error_object
from wsgi_app.wires.openai.encode.files import FileLink, link_to, paragraph_of
from wsgi_app.wires.openai.ids import PartRef, ResponseRef, call_name

#: What an agent's model says before the end of an answer that reached its length limit.
CUT_OFF: Final = "The answer is cut off: it reached the model's length limit."
NOT_KEPT: Final = Error("not_found", "The beginning of this answer is no longer kept.")
#: Why a model stops, as far as a failed turn's details may tell it.
REPORTED_REASONS: Final = ("length", "content_filter")
_SERVER_ERROR: Final = 500
_DONE: Final = frame(b"[DONE]")


class Completion(NamedTuple):
    """What all chunks of a completion have in common."""

    id: str
    model: str
    created: int
    #: The part of its turn that it is: behind an earlier completion's calls, or from the start.
    ref: ResponseRef
    #: Where files are.
    files_url: str = "files"


def completion_id(ref: ResponseRef) -> str:
    """Name a part of a turn, the same each time it is read."""
    part = f":{ref.after_seq}" if ref.after_seq else ""
    name = f"{ref.session_id}:{ref.turn}{part}"
    return "chatcmpl-" + hashlib.sha256(name.encode()).hexdigest()[:29]


class ChatAnswer:
    """Follows a turn's events to the answer's end; used by one reader's thread."""

    def __init__(self, completion: Completion) -> None:
        self._ref = completion.ref
        self._files_url = completion.files_url
        #: Why it ended; None while it continues, and for an answer that failed.
        self.finish_reason: str | None = None
        self.error: Error | None = None
        #: Nothing where none is known: clients read it without a look.
        self.usage = Usage(0, 0, 0)
        #: Whether it ended with a question.
        self.asks = False
        self._is_cut_off = False
        self._length = 0
        #: The files that it has given.
        self.files: list[FileLink] = []

    @property
    def ended(self) -> bool:
        """Whether nothing more belongs to it."""
        return self.finish_reason is not None or self.error is not None

    def take(self, event: AnyEvent) -> dict[str, Any]:
        """Take an event; returns what it adds to the message, which may be nothing."""
        if self.ended:
            return {}
        if isinstance(event, Token):
            self._is_cut_off = False
            self._length += len(event.content)
            return {"content": event.content} if event.content else {}
        if isinstance(event, Thinking):
            return {"reasoning_content": event.content} if event.content else {}
        if isinstance(event, ToolRequest):
            self.finish_reason = "tool_calls"
            return {"tool_calls": [self._call(event, at) for at in range(len(event.calls))]}
        if isinstance(event, InputRequest):
            return self._ask(event)
        if isinstance(event, Status):
            self._is_cut_off = self._is_cut_off or event.content == CUT_OFF
        elif isinstance(event, Gap):
            self.error = NOT_KEPT
        elif isinstance(event, (Done, Error, Cancelled)):
            self._end(event)
        return self._give(event) if isinstance(event, FileGiven) else {}

    def _call(self, request: ToolRequest, index: int) -> dict[str, Any]:
        call, name = request.calls[index], call_name(request.request_id, index)
        function = {"name": call.tool, "arguments": encode_json(call.input).decode()}
        call_id = PartRef(self._ref, "call", name).id
        return {"index": index, "id": call_id, "type": "function", "function": function}

    def _ask(self, question: InputRequest) -> dict[str, str]:
        self.asks, self.finish_reason = True, "stop"
        return {"content": f"\n\n{question.prompt}" if self._length else question.prompt}

    def _give(self, file: FileGiven) -> dict[str, Any]:
        link = link_to(file, self._files_url)
        text, offset = paragraph_of(link, behind_text=self._length > 0)
        # Clients that join deltas look for the index, as tool calls have it.
        note = {"index": len(self.files), **_citation(link, self._length + offset)}
        self.files.append(link)
        self._length += len(text)
        return {"content": text, "annotations": [note]}

    def _end(self, event: Done | Error | Cancelled) -> None:
        if isinstance(event, Done):
            self.finish_reason = "length" if self._is_cut_off else "stop"
            self.usage = event.usage
        elif isinstance(event, Cancelled):
            self.finish_reason = "stop"  # the protocol has no word for it
        elif event.details.get("finish_reason") in REPORTED_REASONS:
            self.finish_reason = event.details["finish_reason"]
        else:
            self.error = event


class ChatEncoder:
    """Makes the chunks of one stream; used by its thread alone."""

    def __init__(self, completion: Completion, *, include_usage: bool) -> None:
        self.answer = ChatAnswer(completion)
        self._completion = completion
        self._include_usage = include_usage

    @property
    def ended(self) -> bool:
        """Whether the stream is complete."""
        return self.answer.ended

    def opening(self) -> bytes:
        """The first chunk, sent before anything happens."""
        return self._chunk({"role": "assistant", "content": ""})

    def __call__(self, numbered: NumberedEvent) -> bytes:
        """Make an event's chunks."""
        if self.ended:
            return b""
        delta = self.answer.take(numbered.event)
        made = self._chunk(delta) if delta else b""
        return made + self._closing()

    def _closing(self) -> bytes:
        """The last chunks; nothing while the answer continues."""
        error = self.answer.error
        if error is not None:
            return frame(encode_json(failure(error)))
        if self.answer.finish_reason is None:
            return b""
        made = self._chunk({}, self.answer.finish_reason)
        if self._include_usage:
            made += self._frame({"choices": [], "usage": _usage(self.answer.usage)})
        return made + _DONE

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return self._frame({"choices": [choice]})

    def _frame(self, fields: dict[str, Any]) -> bytes:
        return frame(encode_json(_document(self._completion, "chat.completion.chunk") | fields))


class ChatCollector:
    """Puts the whole completion together; used by one thread."""

    def __init__(self, completion: Completion) -> None:
        self.answer = ChatAnswer(completion)
        self._completion = completion
        #: The pieces of each text, with their ids.
        self._texts: dict[str, list[tuple[EventId, str]]] = {"content": [], "reasoning_content": []}
        self._calls: list[dict[str, Any]] = []

    def take(self, numbered: NumberedEvent) -> bool:
        """Take an event; returns whether the completion is whole."""
        if isinstance(numbered.event, Withdrawn):
            after = EventId.parse(numbered.event.after)
            for name, pieces in self._texts.items():
                self._texts[name] = [piece for piece in pieces if piece[0] <= after]
        for name, value in self.answer.take(numbered.event).items():
            if name == "tool_calls":
                self._calls = [_without_index(call) for call in value]
            elif name in self._texts:
                self._texts[name].append((numbered.id, value))
        return self.answer.ended

    def document(self) -> dict[str, Any]:
        """The completion as one document."""
        texts = {name: "".join(text for _, text in pieces) for name, pieces in self._texts.items()}
        message: dict[str, Any] = {"role": "assistant", "content": texts["content"]}
        if texts["reasoning_content"]:
            message["reasoning_content"] = texts["reasoning_content"]
        if notes := self._notes(texts["content"]):
            message["annotations"] = notes
        if self._calls:
            message |= {"content": message["content"] or None, "tool_calls": self._calls}
        choice = {"index": 0, "message": message, "finish_reason": self.answer.finish_reason}
        more = {"choices": [choice], "usage": _usage(self.answer.usage)}
        return _document(self._completion, "chat.completion") | more

    def _notes(self, text: str) -> list[dict[str, Any]]:
        """What points to the files, but for those that were taken back."""
        found = [(link, text.find(link.text)) for link in self.answer.files]
        return [_citation(link, offset) for link, offset in found if offset >= 0]


def _citation(link: FileLink, start: int) -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": link.citation(start)}


def _without_index(call: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in call.items() if name != "index"}


def failure(error: Error, status: int = _SERVER_ERROR) -> dict[str, Any]:
    """The document of a failed turn's error."""
    return error_object(error.code, error.message, {}, status, retryable=error.retryable)


def _document(completion: Completion, kind: str) -> dict[str, Any]:
    return {
        "id": completion.id,
        "object": kind,
        "created": completion.created,
        "model": completion.model,
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
