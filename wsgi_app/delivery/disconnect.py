"""Notices clients that hang up, and clients that stop reading."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Optional

from msgspec import Struct

from wsgi_app.engine.runtime import green
from wsgi_app.engine.runtime.threads import start_thread

log = logging.getLogger("wsgi_app")

#: How often writes are looked at for their time limit.
SCAN_SECONDS = 1.0
#: How often clients are checked that no epoll watches.
ASK_SECONDS = 0.05


class Watch(Struct, eq=False):
    """The watch over one client.

    Used by its request's thread; ``writing_since`` is read by the watcher's.
    """

    _watcher: HangupWatcher
    client: Optional[socket.socket]
    #: Kept, since a closed socket no longer knows its number.
    fileno: int
    disconnected: Optional[Callable[[], bool]]
    on_gone: Callable[[Watch], None]
    #: When the write that continues now began, on `time.monotonic`; None between writes.
    writing_since: Optional[float] = None
    #: Whether the client was cut off because it took nothing for too long.
    timed_out: bool = False

    def cut(self) -> None:
        """Shut the socket, so that the server cannot end the response regularly."""
        if self.client is not None:
            with contextlib.suppress(OSError):  # the client was faster
                self.client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget the socket; to be called before the server closes it."""
        self._watcher.forget(self)
        self.on_gone = _ignore  # or its reader and it would hold each other


class HangupWatcher:
    """One thread that watches the sockets of all readers of a worker.

    `watch` and `forget` are called by request threads; ``_lock`` guards the table and makes sure
    that a file number still belongs to the client when it is checked.
    """

    def __init__(self, write_timeout_seconds: float) -> None:
        self._write_timeout_seconds = write_timeout_seconds
        self._lock = threading.Lock()
        self._by_fileno: dict[int, Watch] = {}
        self._asked: set[Watch] = set()
        self._written: set[Watch] = set()
        self._epoll: Any = None
        self._started = False
        self._make_epoll = green.original_select("epoll")
        if self._make_epoll is None:
            log.warning(
                "this system has no epoll: a client that hangs up is noticed within a second"
            )

    def watch(
        self,
        client: socket.socket | None,
        disconnected: Callable[[], bool] | None,
        on_gone: Callable[[Watch], None],
    ) -> Watch:
        """Call ``on_gone``, which must not block, from the watcher's thread when the client goes.

        Without a socket ``disconnected`` is called again and again; without epoll the socket is
        checked. With neither, the next write finds out.
        """
        fileno = -1 if client is None else client.fileno()
        watch = Watch(self, client, fileno, disconnected, on_gone)
        if client is None and disconnected is None:
            return watch
        with self._lock:
            if not self._started:
                self._start()
            if client is not None and self._epoll is not None:
                self._by_fileno[watch.fileno] = watch
                self._epoll.register(watch.fileno, select.EPOLLRDHUP)
            elif disconnected is not None:
                self._asked.add(watch)
            elif client is not None:
                watch.disconnected = partial(_has_left, client)
                self._asked.add(watch)
        return watch

    def bound_writes(self, client: socket.socket) -> Watch:
        """Bound how long writes to a client may take.

        Its hang-up means nothing: it may only have ended its own side.
        """
        watch = Watch(self, client, client.fileno(), None, _ignore)
        with self._lock:
            self._start()
            self._written.add(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """Stop watching."""
        with self._lock:
            self._asked.discard(watch)
            self._written.discard(watch)
            if self._epoll is not None and self._by_fileno.get(watch.fileno) is watch:
                del self._by_fileno[watch.fileno]
                with contextlib.suppress(OSError):  # already forgotten after its hang-up
                    self._epoll.unregister(watch.fileno)

    def _start(self) -> None:
        if not self._started:
            if self._make_epoll is not None:
                self._epoll = self._make_epoll()
            start_thread(self._run, "hangup-watcher")
            self._started = True

    def _run(self) -> None:
        next_scan = time.monotonic() + SCAN_SECONDS
        while True:
            try:
                for fileno in self._wait(ASK_SECONDS if self._asked else SCAN_SECONDS):
                    self._hang_up(fileno)
                self._ask()
                if time.monotonic() >= next_scan:
                    next_scan = time.monotonic() + SCAN_SECONDS
                    self._scan()
            except Exception:
                # Without this thread the worker would notice no more hang-ups.
                log.exception("a round of the hang-up watcher failed")
                time.sleep(SCAN_SECONDS)

    def _wait(self, seconds: float) -> list[int]:
        if self._epoll is None:
            time.sleep(seconds)
            return []
        return [fileno for fileno, _ in green.poll(self._epoll, seconds)]

    def _hang_up(self, fileno: int) -> None:
        with self._lock:
            watch = self._by_fileno.get(fileno)
            # The number may have gone to another client since the poll: look again.
            if watch is None or not _is_hung_up(fileno):
                return
            del self._by_fileno[fileno]
            with contextlib.suppress(OSError):  # the server has closed it already
                self._epoll.unregister(fileno)
            # A thread that is blocked in a write to this client comes free.
            watch.cut()
        watch.on_gone(watch)

    def _ask(self) -> None:
        with self._lock:
            asked = list(self._asked)
        for watch in asked:
            if watch.disconnected is not None and watch.disconnected():
                self.forget(watch)
                watch.cut()  # as above
                watch.on_gone(watch)

    def _scan(self) -> None:
        too_old = time.monotonic() - self._write_timeout_seconds
        with self._lock:
            watches = [*self._by_fileno.values(), *self._asked, *self._written]
            for watch in watches:
                since = watch.writing_since
                if since is not None and since < too_old:
                    watch.timed_out = True
                    watch.cut()


def _ignore(watch: Watch) -> None:
    """Do nothing."""


def _is_hung_up(fileno: int) -> bool:
    return _has_sign(fileno, select.POLLRDHUP)


def _has_left(client: socket.socket) -> bool:
    """Look for the end of a client's input; unread input hides it."""
    try:
        if not _has_sign(client.fileno(), select.POLLIN):
            return False
        # Not its own method: an encrypted one has no such look.
        return not socket.socket.recv(client, 1, socket.MSG_PEEK)
    except (OSError, ValueError):  # ValueError: it is closed already
        return True


def _has_sign(fileno: int, sign: int) -> bool:
    poll = green.original_select("poll")()
    poll.register(fileno, sign)
    return bool(poll.poll(0))
