"""Finds out what blocks the ``agents`` loop, where users' code runs."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from wsgi_app.engine.runtime.loop import LoopThread

log = logging.getLogger("wsgi_app")

#: How often the loop is asked for a sign of life while it has work.
CHECK_SECONDS: Final = 0.5
#: A loop that is silent for so long holds up every other agent on it.
BLOCKED_SECONDS: Final = 1.0


class Watchdog:
    """Asks the watched loop for signs of life, from another loop, while it has tasks.

    `notice` is called from any thread; ``_lock`` guards whether a check is due. The checks run on
    the watching loop; the sign is given on the watched one, by a single assignment.
    """

    def __init__(self, watched: LoopThread, watching: LoopThread) -> None:
        self._watched = watched
        self._watching = watching
        self._lock = threading.Lock()
        self._armed = False
        self._asked_at: float | None = None
        self._logged = False
        watched.on_submit(self.notice)

    def notice(self) -> None:
        """The loop has got work: watch it until it has none."""
        with self._lock:
            if self._armed:
                return
            self._armed = True
        try:
            self._watching.call_later(CHECK_SECONDS, self._check)
        except RuntimeError:
            # No thread for the watching loop: the work continues unwatched, the next is watched.
            log.exception("the agents loop cannot be watched")
            with self._lock:
                self._armed = False

    @property
    def blocked_seconds(self) -> float:
        """For how long the loop has been blocked; 0 if it is not."""
        asked_at = self._asked_at
        waited = 0.0 if asked_at is None else time.monotonic() - asked_at
        return waited if waited >= BLOCKED_SECONDS else 0.0

    def _check(self) -> None:
        try:
            self._look()
        finally:
            # A look that failed must not be the last one.
            with self._lock:
                self._armed = self._watched.unfinished > 0 or self._asked_at is not None
                armed = self._armed
            if armed:
                self._watching.call_later(CHECK_SECONDS, self._check)

    def _look(self) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._watched.call_soon(self._sign)
        elif self.blocked_seconds and not self._logged:
            self._logged = True
            log.error(
                "async code of an agent or a tool blocks the worker's agents loop, and every other"
                " agent on it; it should await, or be a plain function. It is here:\n%s",
                self._watched.stack(),
            )

    def _sign(self) -> None:
        if self._logged:
            log.warning("the agents loop runs again after %.1f s", self.blocked_seconds)
        self._logged = False
        self._asked_at = None
