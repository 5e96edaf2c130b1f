"""Messages as LangChain writes them, out of a thread's history and of a turn's events.

A message has the same id in both: the id of the user's message that it answers, and its place
behind it. So the answer is put together of events exactly as the host's history does it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from wsgi_app.events import (
    AnyEvent,
    Steered,
    Token,
    ToolCall,
    ToolRequest,
    ToolResult,
    encode_json,
)

#: In place of a result that never came, as in the history.
NO_RESULT: Final = "(The call was stopped; its result is unknown.)"
LangChainMessage = dict[str, Any]


class Names(NamedTuple):
    """How the host's history names calls and tools."""

    call_id: Callable[[str], str]
    tool: Callable[[str], str]


def human(message_id: str, content: str) -> LangChainMessage:
    """The user's message."""
    return {
        "type": "human",
        "id": message_id,
        "content": content,
        "additional_kwargs": {},
        "response_metadata": {},
    }


def ai_id(human_id: str, index: int) -> str:
    """The name of the answer's message at a place, counted from 1 without results."""
    return f"{human_id}.{index}"


def steered_id(human_id: str, number: int) -> str:
    """The name of what the user said while the turn ran, counted from 1."""
    return f"{human_id}.s{number}"


def _ai(message_id: str, text: str, calls: Sequence[dict[str, Any]]) -> LangChainMessage:
    return {
        "type": "ai",
        "id": message_id,
        "content": text,
        "tool_calls": [{**call, "type": "tool_call"} for call in calls],
        "invalid_tool_calls": [],
        "additional_kwargs": {},
        "response_metadata": {},
    }


def _tool(message_id: str, index: int, call_id: str, name: str, content: str) -> LangChainMessage:
    return {
        "type": "tool",
        "id": f"{message_id}.{index}",
        "tool_call_id": call_id,
        "name": name,
        "content": content,
        "additional_kwargs": {},
        "response_metadata": {},
    }


def size_of(message: LangChainMessage) -> int:
    """About how many characters a message has."""
    return len(message["content"]) + sum(len(str(call)) for call in message.get("tool_calls", ()))


class Exchange(NamedTuple):
    """A user's message and its answer."""

    #: Of the user's message; '' in front of the first one.
    id: str
    messages: list[LangChainMessage]


def exchanges_of(history: Iterable[dict[str, Any]]) -> list[Exchange]:
    """A thread's history, divided at the user's messages."""
    made: list[Exchange] = []
    index, calls, results, steered = 0, {}, 0, 0
    message_id = ""
    for number, message in enumerate(history):
        role, content = message["role"], message.get("content") or ""
        begins = role == "user" and not message.get("steered")
        if begins or not made:
            made.append(Exchange(str(message.get("id") or f"message-{number}"), []))
            index = steered = 0
        exchange = made[-1]
        if begins:
            exchange.messages.append(human(exchange.id, _text(content)))
        elif role == "user":
            steered += 1
            exchange.messages.append(human(steered_id(exchange.id, steered), _text(content)))
        elif role == "assistant" and (content or message.get("tool_calls")):
            index, results = index + 1, 0
            message_id = ai_id(exchange.id, index)
            entries = [_call(entry) for entry in message.get("tool_calls", ())]
            calls = {call["id"]: call["name"] for call in entries}
            exchange.messages.append(_ai(message_id, _text(content), entries))
        elif role == "tool":
            results += 1
            call_id = str(message["tool_call_id"])
            name = calls.get(call_id, "")
            exchange.messages.append(_tool(message_id, results, call_id, name, _text(content)))
        elif role in ("system", "developer"):
            exchange.messages.append(
                {"type": "system", "id": f"system-{number}", "content": _text(content)}
            )
    return made


def _call(entry: dict[str, Any]) -> dict[str, Any]:
    function = entry["function"]
    return {"name": function["name"], "args": _object(function["arguments"]), "id": entry["id"]}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


class Answer:
    """A turn's messages behind the user's, put together of its events; used by one thread.

    Calls that run at the same time become one message, in front of what is said meanwhile.
    """

    def __init__(self, human_id: str, names: Names) -> None:
        self._human_id = human_id
        self._names = names
        #: The messages that are whole.
        self.messages: list[LangChainMessage] = []
        #: How many of them the assistant's own are.
        self.index = 0
        self._text: list[str] = []
        self._text_since_call: list[str] = []
        self._calls: dict[str, ToolCall] = {}
        self._results: dict[str, str] = {}
        #: What was said to the turn: what the agent has not taken, and what it took during calls.
        self._waiting: dict[str, str] = {}
        self._steer_texts: list[str] = []
        self._steered = 0

    @property
    def open_id(self) -> str:
        """The name of the message that text goes to now."""
        return ai_id(self._human_id, self.index + (2 if self._calls else 1))

    @property
    def open_text(self) -> str:
        """What that message says so far."""
        return "".join(self._text_since_call if self._calls else self._text)

    @property
    def calls_id(self) -> str:
        """The name of the message that a call which begins now goes to."""
        return ai_id(self._human_id, self.index + 1)

    @property
    def call_count(self) -> int:
        """How many calls run, or ran, at the same time now."""
        return len(self._calls)

    @property
    def open_calls(self) -> list[str]:
        """The calls without a result."""
        return [call_id for call_id in self._calls if call_id not in self._results]

    def knows(self, call_id: str) -> bool:
        """Whether a call waits for its result, or for those that began with it."""
        return call_id in self._calls

    def take(self, event: AnyEvent) -> list[LangChainMessage]:
        """Take the next event; the messages that are whole with it."""
        if isinstance(event, Token):
            (self._text_since_call if self._calls else self._text).append(event.content)
        elif isinstance(event, ToolRequest):
            made: list[LangChainMessage] = []
            for call in event.calls:
                made += self.take(ToolCall(call.tool, call.call_id, call.input))
            return made
        elif isinstance(event, ToolCall):
            repeated = event.call_id in self._calls
            if repeated and event.call_id not in self._results:
                return []  # the same call, sent again
            made = self._close_calls() if repeated else []
            self._calls[event.call_id] = event
            return made
        elif isinstance(event, ToolResult) and event.call_id in self._calls:
            self._results[event.call_id] = _as_text(event.output)
            if len(self._results) == len(self._calls):
                return self._close_calls()
        elif isinstance(event, Steered):
            return self._steer(event)
        return []

    def so_far(self) -> list[LangChainMessage]:
        """The messages that are whole, and the one that text goes to while nothing is called."""
        text = "" if self._calls else self.open_text
        return self.messages + ([_ai(self.open_id, text, ())] if text else [])

    def close(self) -> list[LangChainMessage]:
        """The turn has ended; the messages that are whole with that."""
        made = self._close_calls()
        self._steer_texts += self._waiting.values()
        return made + self._close_text()

    def _steer(self, event: Steered) -> list[LangChainMessage]:
        if event.status == "waiting":
            self._waiting[event.steer_id] = event.content
            return []
        self._waiting.pop(event.steer_id, None)
        self._steer_texts.append(event.content)
        return [] if self._calls else self._close_text()

    def _close_text(self) -> list[LangChainMessage]:
        """What the agent has said, and what was said to it then."""
        made: list[LangChainMessage] = []
        text = "".join(self._text)
        if text:
            self.index += 1
            made.append(_ai(ai_id(self._human_id, self.index), text, ()))
        for content in self._steer_texts:
            self._steered += 1
            made.append(human(steered_id(self._human_id, self._steered), content))
        self.messages += made
        self._text, self._steer_texts = [], []
        return made

    def _close_calls(self) -> list[LangChainMessage]:
        if not self._calls:
            return []
        self.index += 1
        message_id = ai_id(self._human_id, self.index)
        calls: list[dict[str, Any]] = [
            {
                "name": self._names.tool(call.tool),
                "args": call.input,
                "id": self._names.call_id(call.call_id),
            }
            for call in self._calls.values()
        ]
        made = [_ai(message_id, "".join(self._text), calls)]
        for number, (given, call) in enumerate(zip(self._calls, calls), 1):
            result = self._results.get(given, NO_RESULT)
            made.append(_tool(message_id, number, call["id"], call["name"], result))
        self.messages += made
        self._calls, self._results, self._text = {}, {}, []
        made += self._close_text() if self._steer_texts else []
        self._text, self._text_since_call = self._text_since_call, []
        return made


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else encode_json(value).decode()
