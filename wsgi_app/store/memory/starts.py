"""The memory store's count of starts."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from itertools import islice

from wsgi_app.errors import RequestError
from wsgi_app.store.refusals import TooManyStarts
from wsgi_app.store.values import BeginTurn, StartCount, StartRate, TurnBegun


class MemoryStarts:
    """Starts of all tenants in sliding windows, counted as ``redis/lua/starts.lua`` does.

    Touched by every thread; ``_lock`` guards the windows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By last use, the newest last.
        self._windows: dict[tuple[str, StartRate], _Window] = {}

    def count(
        self,
        request: BeginTurn,
        begin: Callable[[BeginTurn, RequestError | None], TurnBegun],
    ) -> TurnBegun:
        """Count the request's start, ``begin``, and take it back if no turn comes of it.

        One too many begins too, if it may attach to an earlier turn, but gets the reason why it
        must not become a turn of its own. Raises TooManyStarts, and what ``begin`` raises.
        """
        rate, tenant = request.rate, request.key.tenant
        if rate is None:
            return begin(request, None)
        with self._lock:
            window = self._window(tenant, rate)
            counted, starts = window.count(rate.amount)
        if not counted and request.idempotency_key is None:
            raise TooManyStarts(starts)
        begun = None
        try:
            begun = begin(request, None if counted else TooManyStarts(starts))
        finally:
            if counted and (begun is None or begun.state == "attached"):
                with self._lock:
                    self._window(tenant, rate).uncount()
        return begun if begun.state == "attached" else begun._replace(starts=starts)

    def _window(self, tenant: str, rate: StartRate) -> _Window:
        """The tenant's window as it is now."""
        now = time.monotonic()
        window = self._windows.pop((tenant, rate), None)
        if window is None or not window.move(now):
            window = _Window(now, rate.window_seconds)
        # Two for each that may be new, so that unused ones do not pile up.
        for key in list(islice(self._windows, 2)):
            if not self._windows[key].move(now):
                del self._windows[key]
        self._windows[tenant, rate] = window
        return window


class _Window:
    """One tenant's starts in the current window and the one before; used under the lock."""

    def __init__(self, now: float, seconds: int) -> None:
        self._seconds = seconds
        self._now = now
        self._before = 0
        self._current = 0
        # When the current one is no longer even the one before.
        self._ends_at = now + 2 * seconds

    def move(self, now: float) -> bool:
        """Move the window to this time; False if nothing of it is left."""
        self._now = now
        if now >= self._ends_at:
            return False
        if now > self._ends_at - self._seconds:
            self._before, self._current = self._current, 0
            self._ends_at += self._seconds
        return True

    def count(self, amount: int) -> tuple[bool, StartCount]:
        """Count a start if there is room for it; returns whether, and how they stand then."""
        left_seconds = self._ends_at - self._seconds - self._now
        covered = math.floor(self._before * left_seconds / self._seconds)
        fits = covered + self._current < amount
        self._current += fits
        return fits, StartCount(self._before, left_seconds, self._current, left_seconds)

    def uncount(self) -> None:
        """Take back a start of which no turn came."""
        self._current = max(0, self._current - 1)
