"""A provider's frames in short form, for tables of dialects."""

from __future__ import annotations

import json
from typing import Any, Final

DONE: Final = "data: [DONE]\n\n"


def data(value: Any, event: str = "") -> str:
    """Any event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(value)}\n\n"


def c(delta: dict[str, Any]) -> str:
    """A chunk of a chat completion."""
    return data({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def end(reason: Any) -> str:
    """The chunk with the finish reason."""
    return data({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})


def t(index: Any, call_id: Any, name: str | None, arguments: Any) -> str:
    """A chunk with a fragment of a call; None leaves a field out."""
    function = {"name": name, "arguments": arguments}
    call = {"index": index, "id": call_id, "function": _given(function)}
    return c({"tool_calls": [_given(call)]})


def usage(given: Any = 3, taken: Any = 2, total: Any = 5) -> str:
    """The chunk that counts tokens."""
    counts = {"prompt_tokens": given, "completion_tokens": taken, "total_tokens": total}
    return data({"choices": [], "usage": counts})


def r(kind: str, **fields: Any) -> str:
    """An event of the Responses API."""
    return data({"type": f"response.{kind}", **fields}, f"response.{kind}")


def says(text: str) -> str:
    """A piece of a response's text."""
    return r("output_text.delta", delta=text)


def begins(index: int | None, call_id: str | None, name: str = "add") -> str:
    """The beginning of a response's call."""
    item = {"type": "function_call", "call_id": call_id, "name": name, "arguments": ""}
    return r("output_item.added", **_given({"output_index": index, "item": _given(item)}))


def adds(index: int | None, text: str) -> str:
    """A piece of a response's call."""
    return r("function_call_arguments.delta", **_given({"output_index": index, "delta": text}))


def ends(status: str = "completed", reason: str | None = None, **fields: Any) -> str:
    """The end of a response."""
    details = {"reason": reason} if reason else None
    response = {"status": status, "incomplete_details": details, **fields}
    return r(status, response=response)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
