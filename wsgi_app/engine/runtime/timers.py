"""Delayed calls on an event loop, most of which are given up before their time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Final, Optional

import msgspec

#: Below so many no room is gained by looking for those that are given up.
MIN_LOOKED_AT: Final = 1000


class Timer(msgspec.Struct, eq=False):
    """A delayed call, see `LoopThread.call_later`."""

    _callback: Optional[Callable[[], None]]

    def cancel(self) -> None:
        """Prevent the call, and let go of it; one that has just begun goes on."""
        self._callback = None

    def call(self) -> None:
        """Make the call, once, unless it was given up."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Timers:
    """The timers of one loop, the next one first.

    Two for each turn would be most of what wakes a loop, though nearly all turns end long before
    their time: the loop hears only of a timer that is due before all others, and a cancelled one
    stays until its time comes or half of all are cancelled. Added to by any thread; ``_lock``
    guards the heap. The rest happens in the loop's own thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._looks_at_size = MIN_LOOKED_AT
        #: When the loop looks next, on `time.monotonic`, and what has it look.
        self._looks_at = float("inf")
        self._handle: asyncio.TimerHandle | None = None
        #: An empty one: a request's would keep the request, and its turn with it.
        self.context = Context()

    def add(self, delay_seconds: float, timer: Timer) -> bool:
        """Add a timer; returns whether `look` is to be called on the loop now."""
        due_at = time.monotonic() + delay_seconds
        with self._lock:
            if len(self._heap) >= self._looks_at_size:
                self._drop_cancelled()
            heapq.heappush(self._heap, (due_at, next(self._numbers), timer))
            is_next = due_at < self._looks_at
            if is_next:
                self._looks_at = due_at
        return is_next

    def __len__(self) -> int:
        """How many there are, with those given up that are still here."""
        return len(self._heap)

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call what is due, and look again when the next one is."""
        now = time.monotonic()
        due = []
        with self._lock:
            while self._heap and self._heap[0][0] <= now:
                due.append(heapq.heappop(self._heap)[2])
            next_at = self._heap[0][0] if self._heap else float("inf")
            self._looks_at = next_at
        if self._handle is not None:
            self._handle.cancel()
        if next_at != float("inf"):
            self._handle = loop.call_at(next_at, self.look, loop, context=self.context)
        for timer in due:  # one that fails stops no other, and may give up those behind it
            loop.call_soon(timer.call, context=self.context)

    def _drop_cancelled(self) -> None:
        self._heap = [one for one in self._heap if one[2]._callback is not None]  # noqa: SLF001 - a timer is this module's
        heapq.heapify(self._heap)
        self._looks_at_size = max(MIN_LOOKED_AT, 2 * len(self._heap))
