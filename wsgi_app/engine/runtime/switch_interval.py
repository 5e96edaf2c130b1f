"""Keeps hundreds of agents' threads from spending their time on asking for the interpreter."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: CPython's own 5 ms are right up to 40 threads. A thread that waits for the interpreter wakes up
#: each time this interval is over, to ask for it (``take_gil`` in ceval_gil.c): 400 of them 80,000
#: times a second, which is all that the process then does (measured, `make bench WORK=generator`).
SECONDS_PER_THREAD: Final = 0.000_125
#: How long code that never waits may keep the interpreter from all others.
MAX_SECONDS: Final = 0.05


class SwitchInterval:
    """The process's switch interval, stretched while many threads run agents' code.

    Touched by the threads of agents and tools; ``_lock`` guards the count.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._usual_seconds: float | None = None

    @contextmanager
    def competing(self) -> Iterator[None]:
        """Count the caller's thread as one that runs an agent's code."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Leave it out while it sleeps until the engine wakes it."""
        self._count(-1)
        try:
            yield
        finally:
            self._count(1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._threads += change
            wanted_seconds = min(MAX_SECONDS, self._threads * SECONDS_PER_THREAD)
            if self._usual_seconds is None:
                # Asked again each time: the site may have set one of its own.
                usual_seconds = sys.getswitchinterval()
                if wanted_seconds > usual_seconds:
                    self._usual_seconds = usual_seconds
                    sys.setswitchinterval(wanted_seconds)
            elif wanted_seconds > self._usual_seconds:
                sys.setswitchinterval(wanted_seconds)
            else:
                sys.setswitchinterval(self._usual_seconds)
                self._usual_seconds = None


#: The interpreter is one, however many hosts are mounted.
switch_interval: Final = SwitchInterval()
