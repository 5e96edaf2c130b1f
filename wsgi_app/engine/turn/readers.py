"""A turn's readers, and what happens when it has none."""

from __future__ import annotations

import threading
from collections.abc import Callable

from wsgi_app.engine.runtime.callbacks import nothing
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.timers import Timer

#: How often other workers are asked for readers, even without an orphan time.
MIN_RECHECK_SECONDS = 1.0


class Readers:
    """Counts a turn's readers, and calls ``orphaned`` a while after the last one has left.

    Touched by request threads and the io loop's timer; ``_lock`` guards the state, and is not held
    while ``orphaned`` runs.
    """

    def __init__(
        self, io: LoopThread, orphan_seconds: float | None, orphaned: Callable[[], None]
    ) -> None:
        self._io = io
        self._orphan_seconds = orphan_seconds
        self._orphaned = orphaned
        self._lock = threading.Lock()
        self._count = 0
        self._paused = False
        self._closed = False
        self._timer: Timer | None = None
        self._round = 0  # changes with every start and stop of the timer

    @property
    def count(self) -> int:
        """How many readers there are now."""
        return self._count

    def join(self) -> None:
        """Count a reader in."""
        with self._lock:
            self._count += 1
            if self._timer is not None:
                self._stop_timer()

    def leave(self) -> None:
        """Count a reader out; without an orphan time, ``orphaned`` runs before this returns."""
        with self._lock:
            self._count -= 1
            at_once = self._start_timer()
        if at_once:
            self._orphaned()

    def pause(self) -> None:
        """Stop the clock: the agent waits for an answer."""
        with self._lock:
            self._paused = True
            self._stop_timer()

    def resume(self) -> None:
        """Let the clock run again."""
        with self._lock:
            self._paused = False
            at_once = self._start_timer()
        if at_once:
            self._orphaned()

    def wait_again(self) -> None:
        """Start the clock again, if there is one: there are readers, on other workers."""
        with self._lock:
            if self._orphan_seconds is None:
                return
            if self._count == 0 and not self._paused and not self._closed:
                self._arm(max(self._orphan_seconds, MIN_RECHECK_SECONDS))

    def close(self) -> None:
        """Stop, and let go of the turn, which has ended."""
        with self._lock:
            self._closed = True
            self._stop_timer()
            self._orphaned = nothing

    def _start_timer(self) -> bool:
        if self._count > 0 or self._paused or self._closed or self._orphan_seconds is None:
            return False
        if self._orphan_seconds == 0:
            return True
        self._arm(self._orphan_seconds)
        return False

    def _arm(self, seconds: float) -> None:
        self._stop_timer()
        round_ = self._round
        self._timer = self._io.call_later(seconds, lambda: self._expire(round_))

    def _stop_timer(self) -> None:
        self._round += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, round_: int) -> None:
        with self._lock:
            # A reader may have come, and even gone, while the timer was about to fire.
            orphaned = round_ == self._round
        if orphaned:
            self._orphaned()
