"""How a worker's server shows that the worker is about to leave, where it calls no hook."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any, Final

from wsgi_app.delivery.server.stack import callers, main_thread

#: gunicorn's classes whose workers only clear ``alive``, and then wait for their requests.
GUNICORN_WORKERS: Final = (
    "gunicorn.workers.sync",
    "gunicorn.workers.gthread",
    "gunicorn.workers.gasgi",
)
#: Set on a gunicorn worker by the hooks, which take care of its drain themselves.
DRAINED_ATTRIBUTE: Final = "wsgi_app_drained"
GRANIAN: Final = "granian.server"
LEAVING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class _Signals:
    """Signals of this process, read beside their handlers.

    Opened by the main thread before there are requests; then read by one thread.
    """

    def __init__(self) -> None:
        self.pid = 0
        self._reader = -1

    def open(self) -> None:
        """Have the interpreter write each signal's number to a pipe, unless it does for another."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        if before != -1:
            signal.set_wakeup_fd(before)
            os.close(reader)
            os.close(writer)
            return
        self.pid, self._reader = os.getpid(), reader

    def leaves(self) -> bool:
        """Whether a signal to leave has come since the last call."""
        try:
            return any(number in LEAVING_SIGNALS for number in os.read(self._reader, 1000))
        except BlockingIOError:
            return False


_signals = _Signals()


def prepare_leaving() -> None:
    """Read signals under Granian, whose worker lets no other code handle them. Called at import."""
    if _signals.pid == os.getpid() or threading.current_thread() is not threading.main_thread():
        return
    if any(caller.module.startswith(GRANIAN) for caller in callers()):
        _signals.open()


def find_leaving() -> Callable[[], bool] | None:
    """A function that reports whether this worker has begun to leave; None where nothing shows."""
    if _signals.pid == os.getpid():
        return _signals.leaves
    for caller in chain(callers(), main_thread()):
        owner = caller.owner
        if type(owner).__module__ in GUNICORN_WORKERS and hasattr(owner, "alive"):
            hooked = hasattr(owner, DRAINED_ATTRIBUTE)
            return None if hooked else partial(_has_set, owner, "alive", to=False)
        if caller.module == "uvicorn.server" and hasattr(owner, "should_exit"):
            return partial(_has_set, owner, "should_exit", to=True)
    return None


def _has_set(server: Any, name: str, *, to: bool) -> bool:
    return bool(getattr(server, name)) is to
