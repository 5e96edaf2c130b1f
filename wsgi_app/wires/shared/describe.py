"""Types of a stream's frames, made from their names and fields."""

from __future__ import annotations

from typing import Any, Union

from msgspec import UNSET, UnsetType, defstruct


def union(prefix: str, types: dict[str, dict[str, Any]]) -> Any:
    """Make a type of each, named after its ``type``, and the union of them all."""
    made = [
        defstruct(
            prefix + "".join(word.title() for word in kind.replace("_", "-").split("-")),
            sorted(map(_field, fields.items()), key=len),
            tag=kind,
            tag_field="type",
        )
        for kind, fields in types.items()
    ]
    any_of: Any = Union  # to be called with types that no reader of the source knows
    return any_of[tuple(made)]


def _field(field: tuple[str, Any]) -> Any:
    is_optional = UnsetType in getattr(field[1], "__args__", ())
    return (*field, UNSET) if is_optional else field
