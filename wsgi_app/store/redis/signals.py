"""Signals from Redis: one thread and one connection for each listener."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from redis.client import PubSub
from redis.exceptions import NoPermissionError, RedisError

from wsgi_app.compat.redis import disconnect
from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.base import Signal
from wsgi_app.store.redis.keys import Keys, parse_signal

#: Starts a daemon thread with a name, as ``engine/runtime/threads.py`` does.
StartThread = Callable[[Callable[[], None], str], threading.Thread]

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS: Final = 0.05
LONGEST_WAIT_SECONDS: Final = 1.0
#: How long a read waits before it looks whether the listener was closed.
POLL_SECONDS: Final = 5.0
#: One operation's signals come close together.
REMEMBERED: Final = 256


class SignalThread:
    """Receives signals until it is closed, whatever happens to its connection.

    ``refused`` and ``_pubsub`` are set by the thread, and the latter is disconnected by
    `close`; all else is the thread's.
    """

    def __init__(
        self,
        connect: Callable[[], PubSub],
        keys: Keys,
        worker_id: str,
        listener: Callable[[Signal], None],
        resync: Callable[[], None] | None,
    ) -> None:
        self._connect = connect
        self._keys = keys
        self._worker_id = worker_id
        self._listener = listener
        self._resync = resync
        self._pubsub: PubSub | None = None
        self._subscribed = threading.Event()
        self._late = False
        #: Whether Redis's user may not subscribe.
        self.refused = False
        self._closed = threading.Event()
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._recent: OrderedDict[bytes, None] = OrderedDict()
        self._thread: threading.Thread | None = None

    def start(self, start_thread: StartThread, timeout_seconds: float) -> None:
        """Start; returns when subscribed, or when the time is over."""
        self._thread = start_thread(self._run, "signals")
        self._late = not self._subscribed.wait(timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """End the thread."""
        self._closed.set()
        pubsub = self._pubsub
        if pubsub is not None:
            disconnect(pubsub)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._receive()
            except (RedisError, OSError, ValueError, StoreUnavailable) as error:
                self.refused = isinstance(error, NoPermissionError)
                # ValueError: the socket was closed under a read.
                if not self._closed.is_set() and self._wait_seconds == FIRST_WAIT_SECONDS:
                    log.warning("Signals from Redis are interrupted: %s", type(error).__name__)
            self._closed.wait(self._wait_seconds)
            self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)

    def _receive(self) -> None:
        pubsub = self._pubsub = self._connect()
        try:
            if self._worker_id:
                pubsub.subscribe(self._keys.channel(self._worker_id))
            else:
                pubsub.psubscribe(self._keys.all_channels)
            while not self._closed.is_set():
                message = pubsub.get_message(timeout=POLL_SECONDS)
                if message is not None:
                    self._dispatch(message["type"], message["data"])
        finally:
            self._pubsub = None
            pubsub.close()

    def _dispatch(self, kind: str, data: bytes) -> None:
        if kind in ("message", "pmessage"):
            if data and data not in self._recent:  # a probe of the right to publish is empty
                self._remember(data)
                self._call(lambda: self._listener(parse_signal(data)))
        elif kind in ("subscribe", "psubscribe"):
            self._wait_seconds = FIRST_WAIT_SECONDS
            self.refused = False
            if (self._late or self._subscribed.is_set()) and self._resync is not None:
                self._call(self._resync)
            self._subscribed.set()

    def _remember(self, data: bytes) -> None:
        # All workers' channels bring a signal once for each worker that it goes to.
        self._recent[data] = None
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    @staticmethod
    def _call(action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            log.exception("A listener failed")
