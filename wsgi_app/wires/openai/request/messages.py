"""From OpenAI's messages and input items to the chat messages that agents get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wsgi_app.errors import RequestError
from wsgi_app.events import encode_json
from wsgi_app.wires.openai.packed import unpack

Message = dict[str, Any]

_ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_TEXT_PARTS: Final = ("text", "input_text", "output_text", "summary_text")
#: Input items that tell an agent nothing which its own messages do not, but for what the host has
#: packed into them.
_OPAQUE_ITEMS: Final = ("reasoning", "item_reference", "compaction")


def bad_request(field: str, reason: str) -> RequestError:
    """The refusal of a request whose field is not valid."""
    details = {"field": field, "reason": reason}
    return RequestError("invalid_request", f"The request is not valid: {field}.", details)


def split_at_newest(messages: Sequence[Message], field: str) -> tuple[list[Message], str]:
    """Divide into what came before and the user's newest message, which must be the last.

    Only instructions may follow it; they come before it then. Raises RequestError.
    """
    behind: list[Message] = []
    before = list(messages)
    while before and before[-1]["role"] == "system":
        behind.insert(0, before.pop())
    if not before or before[-1]["role"] != "user":
        raise bad_request(field, "Expected the user's message as the last one")
    newest = before.pop()["content"]
    if not newest:
        raise bad_request(field, "Expected a last message with text")
    return [*before, *behind], newest


def read_messages(messages: Sequence[Message]) -> list[Message]:
    """Read the ``messages`` of a chat completion; raises RequestError."""
    return [_read_message(one, f"messages.{index}") for index, one in enumerate(messages)]


def read_items(items: Sequence[Message]) -> list[Message]:
    """Read the ``input`` of a response; raises RequestError."""
    messages: list[Message] = []
    for index, item in enumerate(items):
        _add_item(messages, item, f"input.{index}")
    return messages


def as_text(content: Any, field: str) -> str:
    """Join the text of a message's content; raises RequestError for any other kind of part."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise bad_request(f"{field}.content", "Expected text or a list of parts")
    return "\n".join(_part_text(part, f"{field}.content.{i}") for i, part in enumerate(content))


def _part_text(part: Any, field: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    name = "refusal" if kind == "refusal" else "text"
    if kind not in (*_TEXT_PARTS, "refusal"):
        raise bad_request(field, f"This agent accepts text alone, not {str(kind)[:40]!r}")
    if not isinstance(part.get(name), str):
        raise bad_request(field, "Expected a text")
    return str(part[name])


def _read_message(message: Message, field: str) -> Message:
    role = message.get("role")
    text = as_text(message.get("content"), field)
    if role == "tool":
        call_id = _string(message, "tool_call_id", field)
        return {"role": "tool", "tool_call_id": call_id, "content": text}
    if not isinstance(role, str) or role not in _ROLES:
        raise bad_request(f"{field}.role", f"Expected one of {', '.join(_ROLES)}, tool")
    calls = message.get("tool_calls") if role == "assistant" else None
    if calls:
        return {"role": "assistant", "content": text or None, "tool_calls": _calls(calls, field)}
    return {"role": _ROLES[role], "content": text}


def _calls(calls: Any, field: str) -> list[dict[str, Any]]:
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise bad_request(f"{field}.tool_calls", "Expected a list of objects")
    made: dict[str, dict[str, Any]] = {}
    for call in calls:
        function = call.get("function")
        if not isinstance(function, dict):
            raise bad_request(f"{field}.tool_calls", "Expected calls of functions")
        call_id = _string(call, "id", field)
        made[call_id] = _call(call_id, function, f"{field}.tool_calls")
    return list(made.values())


def _call(call_id: str, function: dict[str, Any], field: str) -> dict[str, Any]:
    name, arguments = _string(function, "name", field), _string(function, "arguments", field)
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _add_item(messages: list[Message], item: Message, field: str) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        messages.append(_read_message(item, field))
    elif kind == "function_call":
        _add_call(messages, _call(_string(item, "call_id", field), item, field))
    elif kind == "mcp_call":
        _add_host_call(messages, item, field)
    elif kind == "function_call_output":
        call_id = _string(item, "call_id", field)
        content = output_text(item, field)
        messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
    elif kind in _OPAQUE_ITEMS:
        messages += _packed(item)
    else:
        raise bad_request(field, f"This agent accepts text alone, not {str(kind)[:40]!r}")


def _packed(item: Message) -> list[Message]:
    """What the host has put into an item for its client to keep; nothing of other providers'."""
    try:
        return read_messages(unpack(item.get("encrypted_content")))
    except RequestError:
        return []


def _add_call(messages: list[Message], call: dict[str, Any]) -> None:
    if messages and "tool_calls" in messages[-1]:
        messages[-1]["tool_calls"].append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _add_host_call(messages: list[Message], item: Message, field: str) -> None:
    """Add a call that the host itself ran in an earlier response, with its result."""
    call_id = _string(item, "id", field)
    _add_call(messages, _call(call_id, item, field))
    outputs = [item[name] for name in ("output", "error") if item.get(name) is not None]
    if outputs:
        content = outputs[0] if isinstance(outputs[0], str) else encode_json(outputs[0]).decode()
        messages.append({"role": "tool", "tool_call_id": call_id, "content": content})


def output_text(item: Message, field: str) -> str:
    """Read the text of a ``function_call_output``; raises RequestError."""
    output = item.get("output")
    if isinstance(output, (str, list)):
        return as_text(output, field)
    return encode_json(output).decode()


def _string(holder: dict[str, Any], name: str, field: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise bad_request(f"{field}.{name}", "Expected a text")
    return value
