"""Ends turns of a session from outside, on whichever worker they run."""

from __future__ import annotations

import time
from collections.abc import Callable

from wsgi_app.engine.following import Following
from wsgi_app.engine.log import Wakeup
from wsgi_app.engine.run_table import RunTable
from wsgi_app.errors import StoreUnavailable
from wsgi_app.events import LOST_SEQ, CancelReason, EventId
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey, Store

#: The longest that a cancel request waits for the end.
CANCEL_WAIT_SECONDS = 1.0
#: The same where too many requests wait already.
MOMENT_SECONDS = 0.05
#: How often a turn of another worker is looked at, beside the signals.
FOLLOW_POLL_SECONDS = 0.25


class Cancels:
    """Used by any thread; its parts guard themselves."""

    def __init__(
        self,
        store: Store,
        runs: RunTable,
        following: Following,
        follow: Callable[[SessionKey, Callable[[], None]], None],
        host: str,
    ) -> None:
        self._store = store
        self._runs = runs
        self._following = following
        self._follow = follow
        self._host = host

    def cancel(
        self, key: SessionKey, turn: int | None, reason: CancelReason, wait_seconds: float
    ) -> list[int]:
        """See `Runner.cancel`."""
        began_at = time.monotonic()
        local = self._runs.select(key, turn)
        # Backwards, so that no waiting turn starts because the one before it ended.
        cancelled = [run for run in reversed(local) if run.cancel(reason)]
        numbers = {run.fence.turn for run in cancelled}
        try:
            stored = self._store.request_cancel(key, turn, reason)
        except StoreUnavailable:
            if not numbers:
                raise
            stored = []
        elsewhere = set(stored) - {run.fence.turn for run in local}
        deadline = time.monotonic() + wait_seconds
        # All of them: one that ended by itself just now shall be stored before a DELETE.
        for run in local:
            run.wait_ended(max(0.0, deadline - time.monotonic()))
        if elsewhere:
            self._wait_ended_elsewhere(key, max(elsewhere), deadline)
        if numbers or elsewhere:
            metrics(self._host).cancel_seconds.observe(time.monotonic() - began_at)
        return sorted(numbers | elsewhere)

    def _wait_ended_elsewhere(self, key: SessionKey, turn: int, deadline: float) -> None:
        wakeup = Wakeup()
        self._follow(key, wakeup.set)
        try:
            while time.monotonic() < deadline:
                view = self._store.read(key, EventId(turn, LOST_SEQ), 0)
                if view is None or view.live_turn is None or view.live_turn > turn:
                    return
                wakeup.wait(min(FOLLOW_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        finally:
            self._following.leave(key, wakeup.set)
