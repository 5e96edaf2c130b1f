"""Has a file storage forget what is no longer used."""

from __future__ import annotations

import logging
import time

from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import StoreUnavailable
from wsgi_app.files import FileStorage
from wsgi_app.store.base import SessionKey, Store

log = logging.getLogger("wsgi_app")

#: Between two sweeps of a worker.
SWEEP_SECONDS = 60.0


class FileSweeps:
    """Started by the heartbeat, one at a time, in threads of their own: it must not wait."""

    def __init__(self, files: FileStorage, store: Store) -> None:
        self._files = files
        self._store = store
        self._next_at = time.monotonic() + SWEEP_SECONDS
        self._runs = False

    def sweep_soon(self) -> None:
        """Sweep, if it is time to."""
        if time.monotonic() >= self._next_at and not self._runs:
            self._runs = True
            start_thread(self._sweep, "files")

    def _sweep(self) -> None:
        try:
            self._files.sweep(self._is_known)
        except StoreUnavailable:
            pass  # the next one may know
        except Exception:
            log.exception("files of forgotten sessions cannot be removed")
        finally:
            self._next_at = time.monotonic() + SWEEP_SECONDS
            self._runs = False

    def _is_known(self, tenant: str, session_id: str) -> bool:
        return self._store.state_of(SessionKey(tenant, session_id)) is not None
