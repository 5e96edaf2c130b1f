"""What a new thread begins with: messages, as another deployment's thread had them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wsgi_app.events import encode_json
from wsgi_app.nesting import check_data_depth
from wsgi_app.wires.langgraph.request.input import MAX_MESSAGE_ID_CHARS

_ROLES: Final = {
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "tool": "tool",
}


def read_supersteps(value: Any) -> list[dict[str, Any]]:
    """Read the messages of supersteps as the host's history has them; raises ValueError.

    As LangGraph's own reducer has it, a message takes the place of an earlier one of its id.
    """
    messages: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(_messages_of(value)):
        name = one.get("id")
        is_named = isinstance(name, str) and 0 < len(name) <= MAX_MESSAGE_ID_CHARS
        messages[str(name) if is_named else f" {number}"] = _as_stored(one, is_named=is_named)
    return list(messages.values())


def _messages_of(supersteps: Any) -> Iterator[dict[str, Any]]:
    for step in _list_of(supersteps):
        for update in _list_of(step.get("updates")):
            if update.get("command") is not None:
                raise ValueError("Expected values, and no command")
            values = update.get("values")
            if values is not None and (not isinstance(values, dict) or set(values) - {"messages"}):
                raise ValueError("Expected no values but messages")
            found = (values or {}).get("messages", [])
            yield from _list_of([found] if isinstance(found, dict) else found)


def _list_of(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError("Expected a list of objects")
    return value


def _as_stored(message: dict[str, Any], *, is_named: bool) -> dict[str, Any]:
    role = _ROLES.get(str(message.get("type") or message.get("role")))
    if role is None:
        raise ValueError("Expected messages of users, the assistant and tools")
    stored = {"role": role, "content": _text_of(message.get("content"))}
    if role == "tool":
        return {**stored, "tool_call_id": _text(message.get("tool_call_id"))}
    if role == "user":
        return {**stored, "id": message["id"]} if is_named else stored
    calls = [_call(one) for one in _list_of(message.get("tool_calls") or [])]
    return {**stored, "tool_calls": calls} if calls else stored


def _call(call: dict[str, Any]) -> dict[str, Any]:
    name, arguments = _text(call.get("name")), call.get("args")
    if arguments is None or not isinstance(arguments, dict):
        raise ValueError("Expected the arguments of a call as an object")
    check_data_depth(arguments)
    function = {"name": name, "arguments": encode_json(arguments).decode()}
    return {"id": _text(call.get("id")), "type": "function", "function": function}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("Expected the names and ids of calls as texts")
    return value


def _text_of(content: Any) -> str:
    blocks = content if isinstance(content, list) else [content]
    texts = [one.get("text") if isinstance(one, dict) else one for one in blocks]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("Expected messages of text alone")
    return "\n".join(str(text) for text in texts)
