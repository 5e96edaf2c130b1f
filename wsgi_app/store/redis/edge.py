"""The edge to Redis: each call soon returns a reply or raises StoreUnavailable."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.client import PubSub
from redis.exceptions import (
    AskError,
    ClusterError,
    ConnectionError,  # noqa: A004 - redis-py's name
    RedisClusterException,
    RedisError,
    TimeoutError,  # noqa: A004 - redis-py's name
    TryAgainError,
)

from wsgi_app.errors import StoreUnavailable
from wsgi_app.metrics import metrics
from wsgi_app.store.redis.connect import Nodes, Reply, connector
from wsgi_app.store.redis.rights import refusal_code
from wsgi_app.store.redis.scripts import Call

log = logging.getLogger(__name__)

#: Calls at a time, and so connections of one worker to a server, besides those that listen: a call
#: takes well under a millisecond, so that a few connections serve many threads.
MAX_CALLS: Final = 16
#: The longest wait for one of these permits: many requests at one instant are no outage.
#: During an outage their holders give up in time, and then all that wait do.
MAX_WAIT_SECONDS: Final = 10.0
#: For so long after a failure no call waits for another one.
REST_SECONDS: Final = 0.5
#: How often an outage is logged.
WARN_SECONDS: Final = 10.0

_SILENCE: Final = (ConnectionError, TimeoutError, OSError)
_REFUSALS: Final = (ClusterError, RedisClusterException, AskError, TryAgainError)
#: Refusals for which redis-py has no class, beside those of rights and writes.
_REFUSING_WORDS: Final = ("BUSY", "NOAUTH", "max number")


class Edge:
    """Runs scripts; connects on first use.

    The reason of a StoreUnavailable that it raises is a code of ``redis_rights``, or ''.

    Touched by all threads of the worker. ``_connecting`` guards ``_nodes``, and ``_lock`` which
    thread tries next: a server that has just failed is left alone for a while, then tried by one
    thread.
    """

    def __init__(self, url: str, timeout_seconds: float, host: str | None = None) -> None:
        """``host``: its metrics get the times; None: nothing is counted, as loading takes long."""
        self.timeout_seconds = timeout_seconds
        self._host = host
        self._connect = connector(url, timeout_seconds)
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._permits = threading.BoundedSemaphore(MAX_CALLS)
        self._nodes: Nodes | None = None
        self._rest_until = 0.0
        self._warned_at = -WARN_SECONDS

    def run(self, call: Call) -> Reply:
        """Run a script; raises StoreUnavailable."""
        with self._guarded() as nodes:
            return nodes.run(call)

    def run_all(self, calls: Sequence[Call]) -> list[Reply]:
        """Run scripts in few round trips; raises StoreUnavailable if one of them fails."""
        replies = self.run_many(calls)
        for reply in replies:
            if isinstance(reply, StoreUnavailable):
                raise reply
        return replies

    def run_many(self, calls: Sequence[Call]) -> list[Reply | StoreUnavailable]:
        """Run scripts in few round trips; returns what each did or raised."""
        if not calls:
            return []
        try:
            with self._guarded() as nodes:
                outcomes = nodes.run_many(calls)
        except StoreUnavailable as error:
            return [error] * len(calls)
        return [self._judge(one) if isinstance(one, Exception) else one for one in outcomes]

    @property
    def is_alone(self) -> bool:
        """Whether one server has all keys; raises StoreUnavailable."""
        with self._judged():
            return self._connected().alone

    def group(self, key: str, index: int) -> Hashable:
        """Name the script call that this key, the ``index``-th of a list, may share."""
        with self._judged():
            return self._connected().group(key, index)

    def pubsub(self) -> PubSub:
        """A new subscriber; raises StoreUnavailable when there is no server to ask for it."""
        with self._judged():
            return self._connected().pubsub()

    def spread(self, name: str) -> list[str]:
        """Names of keys that begin so, one on each server; raises StoreUnavailable."""
        with self._judged():
            return self._connected().spread(name)

    def try_channel(self, name: str) -> None:
        """Subscribe to a channel and leave; raises StoreUnavailable."""
        with self._judged():
            pubsub = self._connected().pubsub()
            try:
                pubsub.subscribe(name)
                pubsub.get_message(timeout=self.timeout_seconds)
            finally:
                pubsub.close()

    def ask_servers(self, question: Callable[[Redis], Reply]) -> list[Reply]:
        """Ask each server something; raises StoreUnavailable."""
        with self._guarded() as nodes:
            return [question(server) for server in nodes.servers()]

    def close(self) -> None:
        """Close all connections, once the calls on them have ended; the next use opens new ones."""
        deadline = time.monotonic() + self.timeout_seconds
        taken = 0
        while taken < MAX_CALLS:
            if not self._permits.acquire(timeout=max(0.0, deadline - time.monotonic())):
                break
            taken += 1
        with self._connecting:
            nodes, self._nodes = self._nodes, None
        if nodes is not None:
            nodes.close()
        for _ in range(taken):
            self._permits.release()

    @contextmanager
    def _guarded(self) -> Iterator[Nodes]:
        self._check_rest()
        if not self._permits.acquire(timeout=MAX_WAIT_SECONDS):
            raise StoreUnavailable
        try:
            self._try_next()
            began_at = time.monotonic()
            with self._judged():
                yield self._connected()
            if self._host is not None:
                metrics(self._host).store_seconds.observe(time.monotonic() - began_at)
            self._rest_until = 0.0
        finally:
            self._permits.release()

    @contextmanager
    def _judged(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise self._judge(error) from error

    def _check_rest(self) -> None:
        if time.monotonic() < self._rest_until:
            raise StoreUnavailable

    def _try_next(self) -> None:
        with self._lock:
            self._check_rest()
            if self._rest_until:
                # This one tries; the others do not wait with it.
                self._rest_until = time.monotonic() + self.timeout_seconds

    def _connected(self) -> Nodes:
        if not self._connecting.acquire(timeout=self.timeout_seconds):
            raise StoreUnavailable
        try:
            if self._nodes is None:
                self._nodes = self._connect()
            return self._nodes
        finally:
            self._connecting.release()

    def _judge(self, error: Exception) -> StoreUnavailable:
        if self._host is not None:
            metrics(self._host).store_errors.inc()
        silent = isinstance(error, _SILENCE)
        # A cluster continues without one of its nodes.
        if self._nodes is None or (silent and self._nodes.alone):
            self._rest_until = time.monotonic() + REST_SECONDS
        if silent:
            self._warn("Redis does not answer", error)
            return StoreUnavailable()
        code = refusal_code(error)
        words = any(word in str(error) for word in _REFUSING_WORDS)
        if code or words or isinstance(error, _REFUSALS):
            self._warn("Redis refuses", error)
        else:
            log.error("A script failed in Redis", exc_info=error)
        return StoreUnavailable(code)

    def _warn(self, what: str, error: Exception) -> None:
        now = time.monotonic()
        if now > self._warned_at + WARN_SECONDS:
            self._warned_at = now
            log.warning("%s: %s: %s", what, type(error).__name__, error)
