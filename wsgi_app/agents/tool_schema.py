"""JSON schemas of tools, as providers take them.

OpenAI and Azure refuse a tool, and with it every request, whose schema has an array without
``items``, which JSON Schema allows and pydantic writes for tuples. Strict mode wants more: objects
that name all of their fields, all of them required.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

#: Where a schema holds others: by name, in a list, or alone.
_BY_NAME: Final = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_IN_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_ALONE: Final = ("items", "additionalProperties", "not", "contains", "if", "then", "else")
_MAX_DEPTH: Final = 64
#: What strict mode refuses, and what says the same is there without it.
_NOT_STRICT: Final = frozenset({"default", "prefixItems", "oneOf", "discriminator"})
_SAYS_SOMETHING: Final = frozenset({"type", "enum", "const", "anyOf", "$ref"})


def with_items(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with ``items`` in all of its arrays."""
    return _mapped(schema, _add_items)


def strict_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema for strict mode; raises ValueError for what that cannot say."""
    return _mapped(with_items(schema), _make_strict)


def _mapped(
    schema: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]], depth: int = 0
) -> dict[str, Any]:
    """The schema, it and all schemas in it changed, the inner ones first."""
    if depth > _MAX_DEPTH:
        return schema  # deeper than any provider follows

    def inner(value: Any) -> Any:
        return _mapped(value, change, depth + 1) if isinstance(value, dict) else value

    made = dict(schema)
    for name in _BY_NAME:
        if isinstance(made.get(name), dict):
            made[name] = {key: inner(value) for key, value in made[name].items()}
    for name in _IN_LISTS:
        if isinstance(made.get(name), list):
            made[name] = [inner(value) for value in made[name]]
    for name in _ALONE:
        if name in made:
            made[name] = inner(made[name])
    return change(made)


def _add_items(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = schema.get("type")
    is_array = kinds == "array" or (isinstance(kinds, list) and "array" in kinds)
    items = schema.get("items")
    if isinstance(items, list):  # the form of a tuple before JSON Schema 2020-12
        schema = {**schema, "prefixItems": items}
    elif not is_array or isinstance(items, dict):
        return schema
    different: list[Any] = []
    for item in schema.get("prefixItems") or ():
        if item not in different:
            different.append(item)
    if len(different) > 1:
        return {**schema, "items": {"anyOf": different}}
    return {**schema, "items": different[0] if different else {}}


def _make_strict(schema: dict[str, Any]) -> dict[str, Any]:
    made = {name: value for name, value in schema.items() if name not in _NOT_STRICT}
    if "oneOf" in schema:
        made["anyOf"] = schema["oneOf"]
    if made.get("type") == "object" or "properties" in made:
        if made.get("additionalProperties") not in (None, False):
            raise ValueError("strict mode knows no object of fields without names")
        names = list(made.get("properties") or {})
        return {**made, "additionalProperties": False, "required": names}
    if not made.keys() & _SAYS_SOMETHING:
        raise ValueError("strict mode knows no value of any type")
    return made
