"""Loops over what a test has found, which must not pass because it has found nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def each(found: Iterable[T], at_least: int = 1) -> list[T]:
    """All of ``found``; raises AssertionError if they are fewer than ``at_least``."""
    items = list(found)
    assert len(items) >= at_least, f"only {len(items)} of at least {at_least} found: {items}"
    return items
