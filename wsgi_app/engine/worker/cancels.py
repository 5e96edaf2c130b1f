"""Ends turns of a session from outside, on any worker."""

from __future__ import annotations

import time

from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.worker.following import Following
from wsgi_app.engine.worker.run_table import RunTable
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
        worker_id: str,
        host: str,
    ) -> None:
        self._store = store
        self._runs = runs
        self._following = following
        self._worker_id = worker_id
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
        wakeup = Wakeup()
        self._following.await_signals(key, wakeup.set)
        try:
            stored = self._flag(key, turn, reason, needed=not numbers)
            elsewhere = set(stored) - {run.fence.turn for run in local}
            deadline = time.monotonic() + wait_seconds
            # All of them: one that has just ended should be stored before a DELETE.
            for run in local:
                run.wait_ended(max(0.0, deadline - time.monotonic()))
            if elsewhere:
                self._wait_ended_elsewhere(key, max(elsewhere), deadline, wakeup)
        finally:
            self._following.leave(key, wakeup.set)
        if numbers or elsewhere:
            metrics(self._host).cancel_seconds.observe(time.monotonic() - began_at)
        return sorted(numbers | elsewhere)

    def await_end(self, key: SessionKey, turn: int, wait_seconds: float) -> bool:
        """See `Steers.await_end`."""
        for run in self._runs.select(key, turn):
            return run.wait_ended(wait_seconds)
        wakeup = Wakeup()
        self._following.join(key, wakeup.set)
        try:
            deadline = time.monotonic() + wait_seconds
            return self._wait_ended_elsewhere(key, turn, deadline, wakeup)
        finally:
            self._following.leave(key, wakeup.set)

    def _flag(
        self, key: SessionKey, turn: int | None, reason: CancelReason, *, needed: bool
    ) -> list[int]:
        try:
            return self._store.request_cancel(key, turn, reason, follower=self._worker_id)
        except StoreUnavailable:
            if needed:
                raise
            return []

    def _wait_ended_elsewhere(
        self, key: SessionKey, turn: int, deadline: float, wakeup: Wakeup
    ) -> bool:
        while (seconds_left := deadline - time.monotonic()) > 0:
            wakeup.wait(min(FOLLOW_POLL_SECONDS, seconds_left))
            found = self._store.read(key, EventId(turn, LOST_SEQ), 0)
            if found is None or found.live_turn is None or found.live_turn > turn:
                return True
        return False
