"""A few threads for calls to the store that must not run on an event loop."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from wsgi_app.engine.runtime.threads import start_thread

log = logging.getLogger("wsgi_app")

#: A thread that has had nothing to do for so long ends.
IDLE_SECONDS: Final = 10.0


class StoreThreads:
    """Runs calls in at most so many threads, in their order; used from any thread.

    ``_lock`` guards the counts. Who submits bounds how many calls wait.
    """

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = 0
        #: Calls submitted and not begun, less threads that wait for one.
        self._short = 0

    def submit(self, call: Callable[[], None]) -> None:
        """Have ``call`` run; raises RuntimeError if there is no thread and none can be started."""
        with self._lock:
            self._short += 1
            starts = self._short > 0 and self._threads < self._max_threads
            if starts:
                self._threads += 1
        if starts:
            self._start()
        self._calls.put(call)

    def _start(self) -> None:
        try:
            start_thread(self._run, "store")
        except RuntimeError:
            with self._lock:
                self._threads -= 1
                if not self._threads:
                    self._short -= 1
                    raise

    def _run(self) -> None:
        while True:
            with self._lock:
                self._short -= 1
            try:
                call = self._calls.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    self._short += 1
                    if self._short > 0:
                        continue  # a call has come just now
                    self._threads -= 1
                    return
            try:
                call()
            except Exception:
                log.exception("a call outside the loop failed")
            del call  # it holds a request, and the next one may be long in coming
