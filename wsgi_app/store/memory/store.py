"""The store of a single process: the same contract, kept in dictionaries."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from wsgi_app.store.base import (
    SECRET_BYTES,
    Signal,
    Store,
    StoreLimits,
)
from wsgi_app.store.memory.questions import MemoryQuestions
from wsgi_app.store.memory.readers import MemoryReaders
from wsgi_app.store.memory.session_table import SessionTable
from wsgi_app.store.memory.sessions import MemorySessions
from wsgi_app.store.memory.starts import MemoryStarts
from wsgi_app.store.memory.steers import MemorySteers
from wsgi_app.store.memory.turn_names import TurnNames
from wsgi_app.store.memory.turns import MemoryTurns
from wsgi_app.store.memory.worker_table import WorkerTable
from wsgi_app.store.memory.workers import MemoryWorkers


class MemoryStore(
    MemoryTurns,
    MemoryQuestions,
    MemorySteers,
    MemoryReaders,
    MemoryWorkers,
    MemorySessions,
    Store,
):
    """Sessions in this process's memory, gone when it ends.

    Touched by every thread of the worker; ``_lock`` guards all state, is never held while a
    listener runs, and every operation under it is short.
    """

    shared = False

    def __init__(
        self, limits: StoreLimits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._limits = limits or StoreLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._sessions = SessionTable(self._limits, clock)
        self._workers = WorkerTable(self._limits, clock)
        self._starts = MemoryStarts()
        self._names = TurnNames(clock)
        self._listeners: tuple[tuple[str, Callable[[Signal], None]], ...] = ()

    def listen(
        self,
        listener: Callable[[Signal], None],
        worker_id: str = "",
        resync: Callable[[], None] | None = None,
    ) -> None:
        with self._lock:
            self._listeners = (*self._listeners, (worker_id, listener))

    def secret(self) -> bytes:
        return self._secret

    def ping(self) -> None:
        pass

    def close(self) -> None:
        with self._lock:
            self._listeners = ()
