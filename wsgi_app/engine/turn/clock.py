"""A turn's time limit, which stands still while the agent waits for an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from wsgi_app.engine.runtime.callbacks import nothing
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.timers import Timer


class TurnClock:
    """Calls ``timed_out`` when the turn's time is over.

    Touched by the turn's thread, the journal's and the io loop's timer; ``_lock`` guards the state,
    and is not held while ``timed_out`` runs.
    """

    def __init__(
        self,
        io: LoopThread,
        timeout_seconds: float,
        timed_out: Callable[[], None],
        paused_seconds: float = 0.0,
    ) -> None:
        """``paused_seconds``: on other workers."""
        self._io = io
        self._timeout_seconds = timeout_seconds
        self._timed_out = timed_out
        self._lock = threading.Lock()
        self._timer: Timer | None = None
        self._paused_at: float | None = None
        self._closed = False
        #: How long it has stood still, not counting a pause that lasts.
        self.paused_seconds = paused_seconds
        #: When the time is over, on `time.monotonic`; moves on with every pause.
        self.deadline = time.monotonic() + timeout_seconds

    def start(self) -> None:
        """Start the turn's time limit."""
        with self._lock:
            self.deadline = time.monotonic() + self._timeout_seconds
            if not self._closed:
                self._timer = self._io.call_later(self._timeout_seconds, self._timed_out)

    def pause(self) -> None:
        """Stand still."""
        with self._lock:
            self._paused_at = time.monotonic()
            self._disarm()

    def resume(self) -> None:
        """Go on with the time that was left."""
        with self._lock:
            if self._paused_at is not None:
                paused_seconds = time.monotonic() - self._paused_at
                self.paused_seconds += paused_seconds
                self.deadline += paused_seconds
                self._paused_at = None
                self._arm()

    def close(self) -> None:
        """Stop, and let go of the turn, which has ended."""
        with self._lock:
            self._closed = True
            self._disarm()
            self._timed_out = nothing

    def _arm(self) -> None:
        self._disarm()
        if not self._closed:
            seconds = max(0.0, self.deadline - time.monotonic())
            self._timer = self._io.call_later(seconds, self._timed_out)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
