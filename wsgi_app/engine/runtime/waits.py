"""What a turn's agent is blocked in, so that the turn's end can free it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from wsgi_app.engine.runtime.switch_interval import switch_interval
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import TurnCancelled

log = logging.getLogger("wsgi_app")

T = TypeVar("T")


class EndsWithRun:
    """A callback of an adapter's, for what ends with each run of its agent.

    Those of a site's own code are for what the whole turn has.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def __call__(self) -> None:
        """Do what is to be done."""
        self._callback()


class Waits:
    """The futures that agent threads wait for, and the callbacks that wake what only they can.

    Touched by the agent's threads and by the one that ends the turn; ``_lock`` guards the state,
    and nothing is called while it is held.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = False
        self._futures: set[Future[Any]] = set()
        self._callbacks: list[Callable[[], None]] = []
        self._closers: list[Callable[[], None]] = []

    def add(self, future: Future[Any]) -> None:
        """Have a future cancelled when the turn ends; at once if it has."""
        with self._lock:
            ended = self._ended
            if not ended:
                self._futures.add(future)
        if ended:
            future.cancel()
        else:
            future.add_done_callback(self._forget)

    def wait(self, future: Future[T], timeout_seconds: float | None = None) -> T:
        """Wait for a result; raises TurnCancelled if the turn ends first.

        Raises concurrent.futures.TimeoutError when the time is over, and
        concurrent.futures.CancelledError for a task that was cancelled by somebody else.
        """
        self.add(future)
        try:
            with switch_interval.waiting():
                return future.result(timeout_seconds)
        except CancelledError:
            if self._ended:
                raise TurnCancelled from None
            raise

    def on_end(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` run when the turn ends; at once if it has."""
        with self._lock:
            if not self._ended:
                self._callbacks.append(callback)
                return
        _run_all([callback], "on_cancel")

    def on_return(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` run when the agent comes to its own end."""
        with self._lock:
            self._closers.append(callback)

    @property
    def has_callbacks(self) -> bool:
        """Whether code of the site's wants to hear of the turn's end, or of its agent's."""
        with self._lock:
            callbacks = [*self._callbacks, *self._closers]
        return not all(isinstance(callback, EndsWithRun) for callback in callbacks)

    def agent_returned(self) -> None:
        """The agent has come to its own end: nothing is to be woken, but closed."""
        with self._lock:
            self._callbacks.clear()
            closers, self._closers = self._closers, []
        _run_all(closers, "on_return")

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.discard(future)

    def seal(self) -> None:
        """From now on, a wait that is broken off is so because the turn has ended."""
        with self._lock:
            self._ended = True

    def end(self) -> None:
        """Free every waiting thread."""
        with self._lock:
            self._ended = True
            futures, callbacks = list(self._futures), list(self._callbacks)
        for future in futures:
            future.cancel()
        if callbacks:
            # They are the agent's code, and may block: not in the canceller's thread.
            try:
                start_thread(lambda: _run_all(callbacks, "on_cancel"), "on-cancel")
            except RuntimeError:
                log.exception("the thread of on_cancel callbacks cannot be started")


def _run_all(callbacks: Sequence[Callable[[], None]], kind: str) -> None:
    for callback in callbacks:
        try:
            callback()
        except (Exception, TurnCancelled):
            # The others must run whatever one does, as turn.check() in it.
            log.exception("an %s callback failed", kind)


def wait_done(future: Future[Any]) -> None:
    """Wait until a future is done, however it ends."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    done.wait()
