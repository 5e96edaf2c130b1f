"""Answers without a model: a token every BENCH_PACE_MS, as the bench's own provider writes it."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

#: An answer's length, where a message tells none.
ENDLESS: Final = 1_000_000_000

_WANTED: Final = re.compile(r"tokens=(\d+)")
PACE_SECONDS: Final = float(os.environ.get("BENCH_PACE_MS", "20")) / 1000


def answer(message: str, sleep: Callable[[float], object] = time.sleep) -> Iterator[str]:
    """Write "@N:T " again and again, as `bench/upstream.c` tells; sleep before each."""
    due = time.monotonic()
    for number in range(_count_tokens(message)):
        due += PACE_SECONDS
        sleep(max(0.0, due - time.monotonic()))
        yield f"@{number}:{time.monotonic_ns()} "


async def answer_async(message: str) -> AsyncIterator[str]:
    """Write the same on an event loop."""
    due = time.monotonic()
    for number in range(_count_tokens(message)):
        due += PACE_SECONDS
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield f"@{number}:{time.monotonic_ns()} "


def is_asked_for() -> bool:
    """Whether this run is to answer so, and not with a model's tokens."""
    return os.environ.get("BENCH_AGENT") == "paced"


def _count_tokens(message: str) -> int:
    wanted = _WANTED.search(message)
    return int(wanted[1]) if wanted else ENDLESS
