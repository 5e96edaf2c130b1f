"""The streams that one host has parked in this worker, all written by its io loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, Final

from wsgi_app.config import Settings
from wsgi_app.delivery.detached.handover import (
    find_connection,
    find_fault,
    hold_access_lines,
    max_files_used,
)
from wsgi_app.delivery.detached.parked import ParkedStream
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.store_threads import StoreThreads

log = logging.getLogger("wsgi_app")

#: Calls to the store at the same time, for all of a host's parked streams.
MAX_STORE_THREADS: Final = 8
#: Every stream is looked at this often for what is due without an event, or a quarter of the
#: shortest time limit if that is shorter.
LOOK_SECONDS: Final = 1.0
#: In so many parts, so that thousands of keep-alives do not come at once.
LOOKS_PER_ROUND: Final = 20
#: Woken streams that are written before other work of the loop has its turn.
MAX_PER_RUN: Final = 500
LEAVE_POLL_SECONDS: Final = 0.02
#: What the end of streams that were cut may take: their access lines, mostly.
CUT_SECONDS: Final = 0.5


class Parking:
    """A table of streams, their sockets and which are woken.

    `park`, `wake`, `call_beside`, `count_out` and `leave` are called from any thread; ``_lock``
    guards the count, and what is learned of the server. All else happens on the io loop.
    """

    def __init__(self, io: LoopThread, settings: Settings) -> None:
        self.keepalive_seconds = settings.keepalive_seconds
        self.write_timeout_seconds = settings.write_timeout_seconds
        self._delivery = settings.delivery
        self._max_streams = settings.max_streams
        #: Whether this worker can park streams; None until `learn` has found out.
        self._is_able: bool | None = None
        self._fault: str | None = None
        self._io = io
        self._threads = StoreThreads(MAX_STORE_THREADS)
        self._lock = threading.Lock()
        self._count = 0
        self._is_closed = False
        self._streams: OrderedDict[ParkedStream, None] = OrderedDict()
        self._by_fileno: dict[int, ParkedStream] = {}
        self._epoll: Any = None
        self._woken: deque[ParkedStream] = deque()
        self._scheduled = False
        # A callback would otherwise keep the context of the turn that woke its stream.
        self._context = Context()
        self._looks = False
        shortest = min(self.keepalive_seconds, self.write_timeout_seconds) / 4
        self._look_seconds = min(LOOK_SECONDS, shortest) / LOOKS_PER_ROUND

    def learn(self) -> None:
        """Find out once whether this worker can park streams; called in a request's thread."""
        with self._lock:
            if self._is_able is None:
                self._learn()

    def _learn(self) -> None:
        connection = find_connection()
        if connection is None and "gunicorn.workers.gthread" in sys.modules:
            return  # HTTP/2, or the site's own test client: this request proves nothing
        if connection is None or connection.worker.cfg.is_ssl:
            self._is_able = False
            if self._delivery == "parked":
                self.give_up("the server is not gunicorn with gthread workers and plain HTTP")
            return
        fault = find_fault(connection.worker)
        if fault is not None:
            self.give_up(fault)
            return
        hold_access_lines(connection.worker.log)
        self._is_able = True

    def give_up(self, fault: str) -> None:
        """Park no more streams: this server turned out not to support it."""
        log.warning("streams are not parked: %s", fault)
        self._is_able, self._fault = False, fault

    @property
    def open(self) -> bool:
        """Whether streams can be parked here."""
        return bool(self._is_able) and not self._is_closed

    def warnings(self) -> list[str]:
        """Warnings about parking on this worker."""
        if self._fault is not None:
            return [f"streams are not parked: {self._fault}"]
        if self._is_able and max_files_used() < self._max_streams:
            few = f"this process may open too few files to park {self._max_streams} streams"
            return [f"{few} (about {max_files_used()}); raise its limit (ulimit -n, LimitNOFILE)"]
        return []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The io loop."""
        return self._io.loop

    def now(self) -> float:
        """The loop's time, on `time.monotonic`."""
        return time.monotonic()

    def park(self, stream: ParkedStream) -> None:
        """Write this stream from now on."""
        with self._lock:
            self._count += 1
        try:
            self._io.call_soon(partial(self._add, stream), self._context)
        except RuntimeError:  # the loop has ended: so do its streams
            stream.hang_up()

    def wake(self, stream: ParkedStream) -> None:
        """Have the stream look for events, in the loop's next round."""
        stream.has_news = True
        if stream.is_woken:
            return
        stream.is_woken = True
        self._woken.append(stream)
        if self._scheduled:
            return
        self._scheduled = True
        if self._io.is_current():
            self.loop.call_soon(self._run, context=self._context)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its streams with it
                self._io.call_soon(self._run, self._context)

    def call_beside(self, call: Callable[[], None]) -> None:
        """Run what may block in a thread; raises RuntimeError if none can be started."""
        self._threads.submit(call)

    def await_room(self, stream: ParkedStream, *, waits: bool) -> None:
        """Have the stream called, or no longer called, when its socket takes bytes."""
        room = select.EPOLLOUT if waits else 0
        self._epoll.modify(stream.fileno, select.EPOLLRDHUP | room)

    def remove(self, stream: ParkedStream) -> None:
        """Forget a stream; its socket is still open."""
        if self._streams.pop(stream, 0) is None:
            del self._by_fileno[stream.fileno]
            self._epoll.unregister(stream.fileno)

    def count_out(self) -> None:
        """Note that a stream has ended, and its line in the access log is written."""
        with self._lock:
            self._count -= 1

    def leave(self, seconds: float) -> None:
        """Wait until all streams are written to their end; cut those that take too long."""
        self._is_closed = True
        if not self._wait_empty(seconds):
            log.warning("%d parked streams are cut because the worker leaves", self._count)
            self.loop.call_soon_threadsafe(self._cut_all)
            self._wait_empty(CUT_SECONDS)

    def _wait_empty(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._count and time.monotonic() < deadline:
            time.sleep(LEAVE_POLL_SECONDS)
        return not self._count

    # -- on the loop

    def _add(self, stream: ParkedStream) -> None:
        try:
            if self._epoll is None:
                # The loop's own selector has no mask for a client's hang-up alone.
                self._epoll = select.epoll()
                self.loop.add_reader(self._epoll.fileno(), self._take_signs)
            self._epoll.register(stream.fileno, select.EPOLLRDHUP)
        except OSError:
            log.exception("a stream cannot be parked")
            stream.hang_up()
            return
        self._by_fileno[stream.fileno] = stream
        self._streams[stream] = None
        if not self._looks:
            self._looks = True
            self.loop.call_later(self._look_seconds, self._look)
        stream.enter()

    def _take_signs(self) -> None:
        for fileno, signs in self._epoll.poll(0):
            stream = self._by_fileno.get(fileno)
            if stream is None:
                continue  # ended in this round
            if signs & ~select.EPOLLOUT:
                stream.hang_up()
            else:
                stream.room_came()

    def _run(self) -> None:
        self._scheduled = False
        for _ in range(min(len(self._woken), MAX_PER_RUN)):
            stream = self._woken.popleft()
            stream.is_woken = False
            stream.advance()
        if self._woken and not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._run)

    def _look(self) -> None:
        now = self.now()
        for _ in range(-(-len(self._streams) // LOOKS_PER_ROUND)):
            if not self._streams:
                break
            stream, _none = self._streams.popitem(last=False)
            self._streams[stream] = None
            stream.look(now)
        self._looks = bool(self._streams)
        if self._looks:
            self.loop.call_later(self._look_seconds, self._look)

    def _cut_all(self) -> None:
        for stream in list(self._streams):
            stream.hang_up()
