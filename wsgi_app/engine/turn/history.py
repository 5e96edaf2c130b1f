"""A session's history: what a turn adds to it, and what agents and people see of it.

Stored are chat messages as the providers write them: the user's, the assistant's, whose
``tool_calls`` are each followed by a message of the role ``tool``, and ``status`` on the last
message of an answer that did not come to its end (``cancelled`` or ``error``), which providers
would refuse. An answer that failed before it began is an empty message: the provider may have
refused the user's message, and would refuse it in each later turn, so agents do not get it again.
The turn of a lost worker is different: it leaves what its journal holds. A user's message that came
while the turn ran has ``steered``: it stands where the agent took it. ``kept`` is what an agent
wants back with a message's calls, see `Turn.keep`. By the ``id`` of a user's message wires find its
turn's exchange; agents and people do not see it. ``files`` describes what came with a message, or
was given with it: it is for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from wsgi_app.engine.turn.valid_messages import NO_RESULT, valid_id, valid_messages, valid_name
from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    FileGiven,
    Steered,
    Terminal,
    Token,
    ToolCall,
    ToolRequest,
    ToolResult,
    encode_json,
)
from wsgi_app.store.base import Message
from wsgi_app.store.values import begins_exchange

#: In place of an answer without text: many models refuse two user's messages in a row.
NO_ANSWER: Final = "(no answer)"
_NOT_FOR_AGENTS: Final = ("status", "steered", "id", "files")
_MARKS: Final = {
    "cancelled": "(This answer was stopped here.)",
    "error": "(This answer broke off here with an error.)",
}


def answer_messages(
    events: Iterable[AnyEvent], end: Terminal, kept: Mapping[str, Any] | None = None
) -> list[Message]:
    """The messages that a turn adds to the history, behind the user's; possibly none.

    ``kept``: what its agent wants back with its calls, by their ids.
    """
    answer = _Answer(kept or {})
    for event in events:
        answer.take(event)
    messages = answer.close()
    has_answer = any(message["role"] != "user" for message in messages)
    if not has_answer and isinstance(end, Error) and end.code != "worker_lost":
        return [*messages, {"role": "assistant", "content": "", "status": "error"}]
    if messages and not isinstance(end, Done):
        status = "cancelled" if isinstance(end, Cancelled) else "error"
        messages[-1]["status"] = status
    return messages


def for_agent(stored: Sequence[Message], max_bytes: int) -> list[Message]:
    """The history as an agent gets it: valid for a provider, and within a budget as JSON.

    Whole old exchanges go first; if the newest alone is too long, so do its tool calls.
    """
    good = [message for one in exchanges_of(stored) if not _has_failed(one) for message in one]
    exchanges = [_closed(exchange) for exchange in exchanges_of(valid_messages(good))]
    kept: list[Message] = []
    left_bytes = max_bytes
    for number, exchange in enumerate(reversed(exchanges)):
        fitting = exchange
        if number == 0 and _size_bytes(exchange) > left_bytes:
            fitting = [message for message in exchange if _is_text(message)]
        left_bytes -= _size_bytes(fitting)
        if left_bytes < 0:
            break
        kept[:0] = fitting
    return kept


def without_oldest(history: Sequence[Message]) -> list[Message] | None:
    """The newer half of a history's exchanges, and all instructions; None if there are none."""
    exchanges = exchanges_of(history)
    has_answer = [any(m["role"] != "system" for m in exchange) for exchange in exchanges]
    if not any(has_answer):
        return None
    indexes = [index for index, answered in enumerate(has_answer) if answered]
    gone = set(indexes[: (len(indexes) + 1) // 2])
    return [
        message
        for index, exchange in enumerate(exchanges)
        for message in exchange
        if index not in gone or message["role"] == "system"
    ]


def take_kept(history: Sequence[Message]) -> dict[str, Any]:
    """Remove what agents have kept from a history; returns it by the ids of its calls."""
    kept: dict[str, Any] = {}
    for message in history:
        value = message.pop("kept", None)
        if value is not None:
            kept |= {call["id"]: value for call in message.get("tool_calls", ())}
    return kept


def for_people(stored: Sequence[Message]) -> list[dict[str, Any]]:
    """The history as clients see it: each user's message, and its answer if it has any."""
    shown: list[dict[str, Any]] = []
    for exchange in _parts_of(stored):
        texts = [m["content"] for m in exchange if m["role"] == "assistant" and m.get("content")]
        others = [m for m in exchange if m["role"] not in ("assistant", "tool")]
        shown += [{name: m[name] for name in m if name != "id"} for m in others]
        files = [file for m in exchange if m["role"] == "assistant" for file in m.get("files", ())]
        if texts or files:
            answer = {"role": "assistant", "content": "".join(texts)}
            shown.append({**answer, "files": files} if files else answer)
    return shown


def without_mark(text: str) -> str:
    """What an answer said before it was stopped or broke off; '' if it said nothing."""
    for mark in (*_MARKS.values(), NO_ANSWER):
        if text == mark:
            return ""
        text = text.removesuffix(f"\n\n{mark}")
    return text


class _Answer:
    """Puts messages together from events; used by one thread.

    Calls that run at the same time become one message, in front of what is said meanwhile.
    """

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._kept = kept
        self._messages: list[Message] = []
        self._text: list[str] = []
        self._text_since_call: list[str] = []
        self._calls: dict[str, ToolCall] = {}
        self._results: dict[str, str] = {}
        #: Steers: those that the agent has not taken, and those that it took during calls.
        self._waiting: dict[str, str] = {}
        self._steered: list[str] = []
        #: What the agent has given, for its next message.
        self._files: list[dict[str, Any]] = []

    def take(self, event: AnyEvent) -> None:
        if isinstance(event, Token):
            self._close_calls_if(len(self._results) == len(self._calls))
            (self._text_since_call if self._calls else self._text).append(event.content)
        elif isinstance(event, ToolRequest):
            for call in event.calls:
                self.take(ToolCall(call.tool, call.call_id, call.input))
        elif isinstance(event, ToolCall):
            if event.call_id in self._calls and event.call_id not in self._results:
                return  # the same call, sent again
            answered = len(self._results) == len(self._calls)
            self._close_calls_if(answered or event.call_id in self._calls)
            self._calls[event.call_id] = event
        elif isinstance(event, ToolResult) and event.call_id in self._calls:
            self._results[event.call_id] = as_text(event.output)
        elif isinstance(event, FileGiven):
            self._files.append(file_entry(event.file_id, event.name, event.media_type, event.size))
        elif isinstance(event, Steered):
            self._take_steered(event)

    def _take_steered(self, event: Steered) -> None:
        if event.status == "waiting":
            self._waiting[event.steer_id] = event.content
            return
        self._waiting.pop(event.steer_id, None)
        self._close_calls_if(len(self._results) == len(self._calls))
        self._steered.append(event.content)
        if not self._calls:
            self._close_text()

    def close(self) -> list[Message]:
        self._close_calls_if(bool(self._calls))
        self._steered += self._waiting.values()
        self._close_text()
        if self._files:  # given behind all text
            answers = [message for message in self._messages if message["role"] == "assistant"]
            if not answers:
                answers = [{"role": "assistant", "content": ""}]
                self._messages += answers
            answers[-1]["files"] = [*answers[-1].get("files", ()), *self._files]
        return self._messages

    def _put(self, message: Message) -> None:
        self._messages.append({**message, "files": self._files} if self._files else message)
        self._files = []

    def _close_text(self) -> None:
        """Add the message of the agent's text so far, and the steers that came with it."""
        text = "".join(self._text)
        if text:
            self._put({"role": "assistant", "content": text})
        self._messages += [
            {"role": "user", "content": content, "steered": True} for content in self._steered
        ]
        self._text, self._steered = [], []

    def _close_calls_if(self, closes: bool) -> None:  # noqa: FBT001 - the one question
        if not closes or not self._calls:
            return
        calls = [_call_entry(call) for call in self._calls.values()]
        text = "".join(self._text) or None
        message: Message = {"role": "assistant", "content": text, "tool_calls": calls}
        kept = [self._kept[call_id] for call_id in self._calls if call_id in self._kept]
        self._put({**message, "kept": kept[0]} if kept else message)
        for call_id in self._calls:
            result = self._results.get(call_id, NO_RESULT)
            self._messages.append(
                {"role": "tool", "tool_call_id": valid_id(call_id), "content": result}
            )
        self._text = []
        if self._steered:
            self._close_text()
        self._text, self._text_since_call = self._text_since_call, []
        self._calls, self._results = {}, {}


def file_entry(file_id: str, name: str, media_type: str, size: int) -> dict[str, Any]:
    """A file as the history describes it; one that is not kept has no id."""
    named = {"file_id": file_id} if file_id else {}
    return {**named, "name": name, "media_type": media_type, "size": size}


def as_text(value: Any) -> str:
    """The text of a JSON value for a model: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else encode_json(value).decode()


def _call_entry(call: ToolCall) -> dict[str, Any]:
    arguments = encode_json(call.input).decode()
    return {
        "id": valid_id(call.call_id),
        "type": "function",
        "function": {"name": valid_name(call.tool), "arguments": arguments},
    }


def exchanges_of(messages: Sequence[Message]) -> list[list[Message]]:
    """Divide a history at the messages that turns began with."""
    return _divided(messages, begins_exchange)


def _parts_of(messages: Sequence[Message]) -> list[list[Message]]:
    """Divide a history at all of the user's messages, those to a running turn too."""
    return _divided(messages, lambda message: message["role"] == "user")


def _divided(messages: Sequence[Message], begins: Callable[[Message], bool]) -> list[list[Message]]:
    parts: list[list[Message]] = []
    for message in messages:
        if begins(message) or not parts:
            parts.append([])
        parts[-1].append(message)
    return parts


def _has_failed(exchange: list[Message]) -> bool:
    """Whether an exchange ended with an error before there was any answer."""
    last = exchange[-1]
    return last.get("status") == "error" and not last["content"] and "tool_calls" not in last


def _closed(exchange: list[Message]) -> list[Message]:
    """An exchange that ends with text of the assistant, its mark as a part of the text.

    Instructions, which clients that bring their own history put anywhere, await no answer.
    """
    messages: list[Message] = []
    for message in exchange:
        one = {k: v for k, v in message.items() if k not in _NOT_FOR_AGENTS}
        if "steered" in message and messages and messages[-1]["role"] == "user":
            # Nothing was answered in between, and many models refuse two in a row.
            one["content"] = f"{messages.pop()['content']}\n\n{one['content']}"
        messages.append(one)
    status = exchange[-1].get("status", "")
    exchanged = [message for message in messages if message["role"] != "system"]
    if not exchanged:
        return messages
    last = exchanged[-1]
    if last["role"] == "assistant" and "tool_calls" not in last:
        if status in _MARKS:
            last["content"] = f"{last['content']}\n\n{_MARKS[status]}"
        return messages
    return [*messages, {"role": "assistant", "content": _MARKS.get(status, NO_ANSWER)}]


def _is_text(message: Message) -> bool:
    return message["role"] != "tool" and "tool_calls" not in message


def _size_bytes(messages: Sequence[Message]) -> int:
    return sum(len(encode_json(message)) for message in messages)
