"""What providers are known to refuse: for each a function that says why, or nothing.

Each takes the body of a request of either API. `docs/providers.md` names who refuses what.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Optional

Body = dict[str, Any]
Refusal = Callable[[Body], Optional[str]]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MESSAGE_FIELDS: Final = frozenset({"role", "content", "tool_calls", "tool_call_id", "name"})
_CALL_FIELDS: Final = frozenset({"id", "type", "function"})
_ITEM_FIELDS: Final = {
    "message": {"type", "role", "content", "id", "status"},
    "function_call": {"type", "call_id", "name", "arguments", "id", "status"},
    "function_call_output": {"type", "call_id", "output", "id", "status"},
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
}


def system_at_the_start(body: Body) -> str | None:
    """Templates of Qwen and Gemma take one system message, as the first."""
    places = [i for i, m in enumerate(messages_of(body)) if m.get("role") in _INSTRUCTS]
    if body.get("instructions"):
        return "instructions in two places" if places else None
    return None if places in ([], [0]) else f"system messages at {places}"


def empty_assistant(body: Body) -> str | None:
    """Anthropic, Mistral and Kimi refuse an assistant's message that says nothing."""
    said = [
        m for m in messages_of(body) if m.get("role") == "assistant" and not m.get("tool_calls")
    ]
    blank = any(not text_of(message.get("content")).strip() for message in said)
    return "an empty message" if blank else None


def roles_take_turns(body: Body) -> str | None:
    """Templates of Mistral and Gemma refuse a user's message behind a user's."""
    roles = [m.get("role") for m in messages_of(body) if m.get("role") not in _INSTRUCTS]
    same = any(a == b == "user" for a, b in itertools.pairwise(roles))
    return "two user's messages in a row" if same else None


def arguments_are_json(body: Body) -> str | None:
    """VLLM, llama.cpp and gateways to Anthropic read the arguments of old calls."""
    for _, _, arguments in calls_of(body):
        try:
            value = json.loads(arguments)
        except ValueError:
            return "arguments that are no JSON"
        if not isinstance(value, dict):
            return "arguments that are no object"
    return None


def names_by_pattern(body: Body) -> str | None:
    """OpenAI and Anthropic take letters, digits, ``_`` and ``-``."""
    names = [name for _, name, _ in calls_of(body)]
    names += [tool.get("function", tool)["name"] for tool in body.get("tools", ())]
    return next((f"the name {name!r}" for name in names if not _NAME.fullmatch(name)), None)


def each_call_has_its_result(body: Body) -> str | None:
    """All refuse a call without a result right behind it, and a result without a call."""
    awaited: list[str] = []
    for message in messages_of(body):
        answered = message.get("tool_call_id") or (
            message["call_id"] if message.get("type") == "function_call_output" else None
        )
        if answered is not None:
            if answered not in awaited:
                return "a result without a call"
            awaited.remove(answered)
            continue
        calls = [call_id for call_id, _, _ in calls_of({"messages": [message], "input": [message]})]
        if awaited and not (calls and message.get("type") == "function_call"):
            return "a call without a result"
        awaited += calls
    return "a call without a result" if awaited else None


def arrays_have_items(body: Body) -> str | None:
    """OpenAI and Azure look into each tool's schema."""
    schemas = [tool.get("function", tool)["parameters"] for tool in body.get("tools", ())]
    return "an array without items" if any(map(_lacks_items, schemas)) else None


def no_unknown_fields(body: Body) -> str | None:
    """Groq, Mistral and Cerebras refuse fields that they do not know, in messages too."""
    for message in body.get("messages", ()):
        unknown = set(message) - _MESSAGE_FIELDS
        for call in message.get("tool_calls") or ():
            unknown |= set(call) - _CALL_FIELDS
        if unknown:
            return f"unknown fields {sorted(unknown)}"
    for item in items_of(body):
        unknown = set(item) - _ITEM_FIELDS.get(item.get("type", "message"), set())
        if unknown:
            return f"unknown fields {sorted(unknown)}"
    return None


def items_name_their_type(body: Body) -> str | None:
    """llama.cpp's server takes an assistant's text as a typed message of output_text alone."""
    for item in items_of(body):
        if item.get("role") == "assistant" and item.get("type") != "message":
            return "an item without a type"
        if item.get("role") == "assistant" and isinstance(item["content"], str):
            return "an assistant's text that is no list"
    return None


def nothing_is_stored(body: Body) -> str | None:
    """With ``store: false`` OpenAI finds no item by its id, nor reasoning that is not there."""
    if body.get("store") is not False:
        return None
    for item in items_of(body):
        if item.get("type") == "item_reference":
            return "a reference to an item that was not kept"
        if item.get("type") == "reasoning" and not item.get("encrypted_content"):
            return "reasoning that was not kept"
    return None


def reasoning_stays_with_calls(body: Body) -> str | None:
    """Kimi and DeepSeek want the reasoning of each call; not part of `REFUSALS`, see there."""
    for message in body.get("messages", ()):
        if message.get("tool_calls") and not message.get("reasoning_content"):
            return "a call without its reasoning_content"
    return None


#: What any provider may refuse; `reasoning_stays_with_calls` is what others refuse as unknown.
REFUSALS: Final[tuple[Refusal, ...]] = (
    system_at_the_start,
    empty_assistant,
    roles_take_turns,
    arguments_are_json,
    names_by_pattern,
    each_call_has_its_result,
    arrays_have_items,
    no_unknown_fields,
    items_name_their_type,
    nothing_is_stored,
)
_INSTRUCTS: Final = ("system", "developer")


def items_of(body: Body) -> list[Any]:
    """The input items of a request of the Responses API."""
    given = body.get("input", ())
    return [{"role": "user", "content": given}] if isinstance(given, str) else list(given)


def messages_of(body: Body) -> list[Any]:
    """The messages of a request of either API."""
    return [*body.get("messages", ()), *items_of(body)]


def text_of(content: Any) -> str:
    """The text of a message's content."""
    if isinstance(content, list):
        return "".join(part.get("text") or part["type"] for part in content)
    return content or ""


def calls_of(body: Body) -> Iterator[tuple[str, str, str]]:
    """The ids, names and arguments of all calls."""
    for message in body.get("messages", ()):
        for call in message.get("tool_calls") or ():
            yield call["id"], call["function"]["name"], call["function"]["arguments"]
    for item in items_of(body):
        if item.get("type") == "function_call":
            yield item["call_id"], item["name"], item["arguments"]


def _lacks_items(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_lacks_items, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        return True
    return any(map(_lacks_items, schema.values()))
