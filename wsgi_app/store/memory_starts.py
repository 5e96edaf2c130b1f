"""The memory store's count of starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from wsgi_app.errors import RequestError
from wsgi_app.store.refusals import TooManyStarts
from wsgi_app.store.values import BeginTurn, StartCount, StartRate, TurnBegun

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

    def count(
        self,
        request: BeginTurn,
        begin: Callable[[BeginTurn, RequestError | None], TurnBegun],
    ) -> TurnBegun:
        """Count the request's start, ``begin``, and take it back if it comes to nothing.

        One too many begins too, if it may attach to an earlier turn, but is told why it must not
        become a turn of its own. Raises TooManyStarts, and what ``begin`` raises.
        """
        rate, tenant = request.rate, request.key.tenant
        if rate is None:
            return begin(request, None)
        counted, starts = self._acquire(tenant, rate)
        if not counted and request.idempotency_key is None:
            raise TooManyStarts(starts)
        begun = None
        try:
            begun = begin(request, None if counted else TooManyStarts(starts))
        finally:
            if counted and (begun is None or begun.state == "attached"):
                self._acquire(tenant, rate, -1)
        return begun if begun.state == "attached" else begun._replace(starts=starts)

    def _acquire(self, tenant: str, limit: StartRate, amount: int = 1) -> tuple[bool, StartCount]:
        seconds = limit.window_seconds
        key = f"{tenant}/{limit.amount}/{seconds}"
        with self._lock:
            if self._windows is None:
                from limits.storage import MemoryStorage  # noqa: PLC0415 - it takes long to load

                self._windows = MemoryStorage()
            counted = self._windows.acquire_sliding_window_entry(key, limit.amount, seconds, amount)
            window = self._windows.get_sliding_window(key, seconds)
        before, before_seconds, current, current_seconds = window
        count = StartCount(before, before_seconds, current, current_seconds - seconds)
        return counted, count
