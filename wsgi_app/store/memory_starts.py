"""The memory store's count of starts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from wsgi_app.store.values import StartCount, StartRate

if TYPE_CHECKING:
    from limits.storage import MemoryStorage


class MemoryStarts:
    """Starts of all tenants in sliding windows.

    Touched by every thread; ``_lock`` guards the windows, which by themselves let threads that come
    together exceed the limit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Made on first use, since it starts a timer.
        self._windows: MemoryStorage | None = None

    def count(self, tenant: str, limit: StartRate, amount: int) -> StartCount:
        """See `Store.count_start`."""
        seconds = limit.window_seconds
        key = f"{tenant}/{limit.amount}/{seconds}"
        with self._lock:
            if self._windows is None:
                from limits.storage import MemoryStorage  # noqa: PLC0415 - it takes long to load

                self._windows = MemoryStorage()
            counted = self._windows.acquire_sliding_window_entry(key, limit.amount, seconds, amount)
            window = self._windows.get_sliding_window(key, seconds)
        before, before_seconds, current, current_seconds = window
        return StartCount(counted, before, before_seconds, current, current_seconds - seconds)
