"""How deep JSON may be nested, so that whoever reads it later has the stack for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

#: The deepest nesting of an event.
MAX_DEPTH: Final = 100


def check_depth(value: Any, depth_left: int = MAX_DEPTH) -> None:
    """Raise ValueError for what a reader's thread, with less stack left, could not decode."""
    if depth_left == 0:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        value = value.values()
    if not isinstance(value, (str, bytes)) and isinstance(value, Iterable):
        for item in value:
            check_depth(item, depth_left - 1)


def check_data_depth(value: Any) -> None:
    """Raise ValueError for data that is nested too deep for an event."""
    check_depth(value, MAX_DEPTH - 1)


def is_shallow(value: Any) -> bool:
    """Whether data is not nested too deep for an event."""
    try:
        check_data_depth(value)
    except ValueError:
        return False
    return True
