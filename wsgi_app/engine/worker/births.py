"""Readers of this worker that wait for sessions which do not exist yet."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.base import SessionKey, Store

log = logging.getLogger("wsgi_app")

#: How often the store is asked for new sessions of the tenants whose readers wait.
ASK_SECONDS: Final = 1.0
#: With more tenants than this it is asked less often: so many of them a second.
TENANTS_PER_SECOND: Final = 200
#: Each round asks for what came within so many rounds: a session is listed a moment before its
#: first turn is there to be read.
ROUNDS_ASKED: Final = 5


class Births:
    """Wakes readers when their sessions begin, on any worker.

    The runner reports this worker's own starts (`wake`). Those of other workers are found by one
    thread, with one call to the store for each tenant whose readers wait. It runs only while
    somebody waits, and only with a store that workers share.

    Touched by readers' threads, by those that start turns, by the store's signals and by its own
    thread; ``_lock`` guards the table and the thread, and is held neither over calls to the store
    nor while a reader is woken.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        #: Read by who starts a turn, to see at once that nobody waits.
        self.wakers: defaultdict[SessionKey, list[Callable[[], None]]] = defaultdict(list)
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def join(self, key: SessionKey, wake: Callable[[], None]) -> None:
        """Have ``wake`` called when the session may have begun; look at it after that."""
        with self._lock:
            if self._thread is None and self._store.shared and not self._stopped.is_set():
                self._thread = start_thread(self._run, "births")
            self.wakers[key].append(wake)

    def leave(self, key: SessionKey, wake: Callable[[], None]) -> None:
        """Undo `join`."""
        with self._lock:
            self.wakers[key].remove(wake)
            if not self.wakers[key]:
                del self.wakers[key]

    def wake(self, key: SessionKey) -> None:
        """Wake the readers of a session that has begun."""
        with self._lock:
            wakers = list(self.wakers.get(key, ()))
        for wake in wakers:
            wake()

    def wake_all(self) -> None:
        """Wake every reader: births may have been missed."""
        with self._lock:
            keys = list(self.wakers)
        for key in keys:
            self.wake(key)

    def stop(self, timeout_seconds: float) -> None:
        """End the thread."""
        self._stopped.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _run(self) -> None:
        asked_at = time.monotonic()
        window_seconds = ROUNDS_ASKED * ASK_SECONDS
        while tenants := self._tenants():
            pause_seconds = ASK_SECONDS * max(1.0, len(tenants) / TENANTS_PER_SECOND)
            if self._stopped.wait(pause_seconds):
                return
            # After an outage, or when this process did not run.
            may_have_missed = time.monotonic() - asked_at >= window_seconds
            window_seconds = ROUNDS_ASKED * pause_seconds
            try:
                born = self._store.recent_sessions(tenants, window_seconds)
            except StoreUnavailable:
                continue
            except Exception:
                # Without it readers would wait for ever.
                log.exception("looking for new sessions failed")
                continue
            asked_at = time.monotonic()
            for key in born:
                self.wake(key)
            if may_have_missed:
                self.wake_all()

    def _tenants(self) -> list[str]:
        """The tenants with waiting readers; without any the thread is forgotten, and ends."""
        with self._lock:
            if not self.wakers:
                self._thread = None
            return list({key.tenant for key in self.wakers})
