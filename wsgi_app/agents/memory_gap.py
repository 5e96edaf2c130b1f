"""What a framework's own memory lacks of a session, and the host's history holds.

A framework writes down what its steps give, at the end of each; the user has seen more when a turn
is stopped in the midst of one, and the memory may have been away.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from wsgi_app.engine.turn.history import NO_ANSWER, exchanges_of, without_mark
from wsgi_app.engine.turn.valid_messages import NO_RESULT, valid_id
from wsgi_app.store.base import Message


class Remembered(NamedTuple):
    """A session's newest exchange as the framework remembers it."""

    #: The user's message; None if there is none, or no text.
    user: str | None
    calls: Collection[str]
    #: Those of the calls, by their ids, that have no result.
    open_calls: Sequence[str]
    #: All text of the assistant.
    text: str
    #: Whether the assistant's text is at the end.
    is_answered: bool


def missing_messages(
    memory: Remembered, history: Sequence[Message], *, stopped: bool
) -> list[Message]:
    """The chat messages that the framework must get before the user's new one.

    ``stopped``: whether it did not come to the exchange's end. Results are first, of the calls
    that have none; an exchange that it began ends with text of the assistant then.
    """
    seen, later = _split(memory.user, history)
    results = {m["tool_call_id"]: m["content"] for m in seen if m["role"] == "tool"}
    missing: list[Message] = [
        {
            "role": "tool",
            "tool_call_id": call_id,
            "content": next((results[one] for one in results if _same(call_id, one)), NO_RESULT),
        }
        for call_id in memory.open_calls
    ]
    if stopped:
        missing += _unknown(memory, seen)
        ended = missing[-1]["role"] == "assistant" if missing else memory.is_answered
        if not ended:
            closing = seen[-1]["content"] if seen else NO_ANSWER
            missing.append({"role": "assistant", "content": closing})
    return missing + later


def _split(user: str | None, history: Sequence[Message]) -> tuple[Sequence[Message], list[Message]]:
    """The answer to this message as the host has it, and all that is behind it."""
    exchanges = exchanges_of(history)
    for index in reversed(range(len(exchanges))):
        first, *answer = exchanges[index]
        if first["role"] == "user" and first["content"] == user:
            return answer, [m for exchange in exchanges[index + 1 :] for m in exchange]
    return [], []


def _unknown(memory: Remembered, seen: Sequence[Message]) -> list[Message]:
    """What of an answer the framework does not know."""
    missing: list[Message] = []
    known: set[str] = set()
    for message in seen:
        if message["role"] == "tool":
            if message["tool_call_id"] in known:
                missing.append(message)
            continue
        calls = [
            call
            for call in message.get("tool_calls", ())
            if not any(_same(one, call["id"]) for one in memory.calls)
        ]
        text = without_mark(message.get("content") or "")
        is_new = bool(text.strip()) and text.strip() not in memory.text
        if calls:
            known.update(call["id"] for call in calls)
            missing.append({**message, "content": text if is_new else None, "tool_calls": calls})
        elif is_new and "tool_calls" not in message:
            missing.append(message)
    return missing


def _same(call_id: str, stored: str) -> bool:
    """Whether the history has this call by that id: ids that come again get a number there."""
    own = valid_id(call_id)
    return re.fullmatch(re.escape(own) + r"(_\d+)?", stored) is not None


def join_texts(texts: Iterable[str]) -> str:
    """Text for `Remembered.text`."""
    return "\n".join(text for text in texts if text)
