"""Waiting for a condition, with a deadline and words for what did not happen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01


def wait_for(condition: Callable[[], T], what: str, seconds: float = 10) -> T:
    """Return the first true value of ``condition``.

    Raises AssertionError with ``what`` and the last value when ``seconds`` are over; an exception
    of ``condition`` passes through.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds} s: {what}. Last value: {value!r}")
        time.sleep(POLL_SECONDS)
    return value
