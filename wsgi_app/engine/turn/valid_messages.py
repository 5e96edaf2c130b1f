"""Chat messages as every provider accepts them, written by the host or by a client.

What providers refuse is repaired, not passed on: an assistant's message that says and calls nothing
is left out; names hold letters, digits, ``_`` and ``-``; arguments are a JSON object; each call has
an id of its own and one result right behind it, and no result is without its call. Providers (and
frameworks) look for results by their calls' ids, so an id that comes a second time is changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from wsgi_app.compat.python import zip_strict
from wsgi_app.nesting import check_data_depth
from wsgi_app.store.base import Message

#: In place of what a cut off call would have answered: a call without an answer is refused.
NO_RESULT: Final = "(The call was stopped; its result is unknown.)"
#: What providers take as a tool's name (OpenAI's reference of chat completions).
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME_CHARS: Final = 64
_MAX_ID_CHARS: Final = 40


def valid_messages(messages: Iterable[Message]) -> list[Message]:
    """The messages without what providers refuse; those that are good stay as they are."""
    made: list[Message] = []
    used: set[str] = set()
    awaited: dict[str, list[Message]] = {}  # results that have not come, by the ids as given
    for message in messages:
        if message["role"] == "tool":
            waiting = awaited.get(message["tool_call_id"])
            if waiting:
                result = waiting.pop(0)
                result |= {**message, "tool_call_id": result["tool_call_id"]}
        elif message.get("tool_calls"):
            calls = [_valid_call(call, used) for call in message["tool_calls"]]
            made += [{**message, "content": message.get("content") or None, "tool_calls": calls}]
            for given, call in zip_strict(message["tool_calls"], calls):
                unknown = {"role": "tool", "tool_call_id": call["id"], "content": NO_RESULT}
                made.append(unknown)
                awaited.setdefault(given["id"], []).append(unknown)
        elif message["role"] != "assistant" or not is_blank(message):
            made.append(message)
    return made


def split_system(messages: Iterable[Message]) -> tuple[list[str], list[Message]]:
    """The texts of the instructions, and all other messages: many templates take one, at first."""
    texts: list[str] = []
    rest: list[Message] = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            texts.append(_text_of(message["content"]))
        else:
            rest.append(message)
    return [text for text in texts if text.strip()], rest


def fold_system(history: Iterable[Message], message: str) -> tuple[list[Message], str]:
    """The history and the user's message, instructions put in front of the first user's message.

    For agents whose framework puts its own in front of what it gets, where a second one is refused.
    """
    texts, rest = split_system(history)
    for index, one in enumerate(rest):
        if texts and one["role"] == "user":
            text = "\n\n".join([*texts, _text_of(one["content"])])
            return [*rest[:index], {**one, "content": text}, *rest[index + 1 :]], message
    return rest, "\n\n".join([*texts, message])


def valid_name(name: str) -> str:
    """A tool's name as providers take it; models make some up, with their own marks in them."""
    return _NOT_IN_NAMES.sub("_", name)[:_MAX_NAME_CHARS] or "tool"


def valid_id(call_id: str) -> str:
    """A call's id as providers take it."""
    if 0 < len(call_id) <= _MAX_ID_CHARS:
        return call_id
    return f"call_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def is_blank(message: Message) -> bool:
    """Whether a message's content says nothing."""
    return not _text_of(message.get("content") or "").strip() and not message.get("tool_calls")


def parse_object(text: str) -> dict[str, Any] | None:
    """Read a JSON object; None for anything else, and for one nested too deep for an event."""
    try:
        value = json.loads(text)
        check_data_depth(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _valid_call(call: dict[str, Any], used: set[str]) -> dict[str, Any]:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    if parse_object(arguments) is None:
        arguments = "{}"
    function = {"name": valid_name(name), "arguments": arguments}
    return {**call, "id": _unused_id(call["id"], used), "function": function}


def _unused_id(call_id: str, used: set[str]) -> str:
    number, unused = 1, valid_id(call_id)
    while unused in used:
        number += 1
        unused = valid_id(f"{call_id}_{number}")
    used.add(unused)
    return unused


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "[]" for part in content)
