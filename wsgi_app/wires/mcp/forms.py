"""A question as a form that MCP clients show, and what comes back as the agent's answer."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from wsgi_app.events import InputRequest

#: The one field of a form for a question that is none itself.
FIELD: Final = "answer"
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_PRIMITIVES: Final = ("string", "number", "integer", "boolean")


class Form(NamedTuple):
    """The form of a question."""

    #: ``b`` for yes or no, ``v`` for a value, ``j`` for JSON as text, ``o`` for an object.
    kind: str
    schema: dict[str, Any]


def form_of(question: InputRequest) -> Form:
    """The form for a question: flat, as the protocol has it."""
    schema = question.schema if isinstance(question.schema, dict) else None
    if schema is None:
        return _one_field("v", _TEXT)
    if schema.get("type") == "boolean":
        return _one_field("b", schema)
    if _is_field(schema):
        return _one_field("v", schema)
    properties = schema.get("properties") if schema.get("type") == "object" else None
    if isinstance(properties, dict) and properties and all(map(_is_field, properties.values())):
        return Form("o", _plain(schema))
    return _one_field("j", _TEXT)


def answer_of(kind: str, result: Any) -> Any:
    """The agent's answer out of what a client's form gave."""
    accepted = isinstance(result, dict) and result.get("action") == "accept"
    content = result.get("content") if accepted else None
    if kind == "o":
        return content
    value = content.get(FIELD) if isinstance(content, dict) else None
    if kind == "b":
        return value if accepted and value is not None else False
    return _from_json(value) if kind == "j" and isinstance(value, str) else value


def _from_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _one_field(kind: str, schema: dict[str, Any]) -> Form:
    properties = {FIELD: _plain(schema)}
    return Form(kind, {"type": "object", "properties": properties, "required": [FIELD]})


def _is_field(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "array":
        items = schema.get("items")
        return isinstance(items, dict) and any(name in items for name in ("enum", "anyOf", "oneOf"))
    return schema.get("type") in _PRIMITIVES


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the host's own words."""
    return {name: value for name, value in schema.items() if not name.startswith("x-")}
