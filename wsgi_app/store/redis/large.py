"""Large replies of Redis, few at a time: they would hold up the calls of everybody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from wsgi_app.errors import RequestError

#: A worker's. Sixteen replies of 4 MB at once took some longer than a call may take, so that the
#: server counted as away (measured, two busy cores).
MAX_READS: Final = 2
#: Longer than one takes on a quiet machine; a request's thread is held meanwhile.
WAIT_SECONDS: Final = 0.05


class LargeReads:
    """Counts them; used by any thread, guarded by a semaphore."""

    def __init__(self) -> None:
        self._permits = threading.BoundedSemaphore(MAX_READS)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place; raises RequestError ``at_capacity`` if there is none soon."""
        if not self._permits.acquire(timeout=WAIT_SECONDS):
            raise RequestError("at_capacity", "Too many long sessions are being read; try again.")
        try:
            yield
        finally:
            self._permits.release()
