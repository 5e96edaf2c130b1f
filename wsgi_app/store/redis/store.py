"""The store of many workers: the contract as Lua scripts in Redis, one for each operation.

What concerns one session happens in one script. What is counted beside it (a tenant's turns and
sessions, a worker's turns) lives in keys of its own, which may be in other slots of a cluster: they
are written before a turn begins and after it has ended, and heartbeats put right what an untimely
end in between has left over.
"""

from __future__ import annotations

from collections.abc import Callable

from redis import Redis

from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.base import Signal, Store, StoreLimits
from wsgi_app.store.redis.calls import Calls
from wsgi_app.store.redis.edge import Edge
from wsgi_app.store.redis.keys import Keys
from wsgi_app.store.redis.large import LargeReads
from wsgi_app.store.redis.lost import LostTurns
from wsgi_app.store.redis.offers import RedisOffers
from wsgi_app.store.redis.questions import RedisQuestions
from wsgi_app.store.redis.readers import RedisReaders
from wsgi_app.store.redis.resumes import RedisResumes
from wsgi_app.store.redis.rights import explain, explained
from wsgi_app.store.redis.sessions import RedisSessions
from wsgi_app.store.redis.signals import SignalThread, StartThread
from wsgi_app.store.redis.steers import RedisSteers
from wsgi_app.store.redis.turns import RedisTurns
from wsgi_app.store.redis.workers import RedisWorkers


class RedisStore(
    RedisTurns, RedisQuestions, RedisSteers, RedisReaders, RedisWorkers, RedisSessions, Store
):
    """Sessions in Redis, a Sentinel's master, or a Redis Cluster.

    Those of one namespace: stores with another see none of them, nor each other's workers.

    Touched by every thread of the worker; its parts guard themselves. Connects on first use, and
    starts no thread but by ``start_thread``, for which `listen` asks.
    """

    shared = True

    def __init__(  # noqa: PLR0913 - options of one connection, by name
        self,
        url: str,
        limits: StoreLimits | None = None,
        *,
        namespace: str = "",
        timeout_seconds: float = 1.0,
        start_thread: StartThread | None = None,
        measured: bool = True,
    ) -> None:
        self._keys = Keys(namespace)
        self._limits = limits = limits or StoreLimits()
        self._calls = Calls(limits, self._keys)
        self._edge = Edge(url, timeout_seconds, namespace if measured else None)
        self._worker_id = ""
        self._lost = LostTurns(self._edge, self._calls)
        self.offers = RedisOffers(self._edge, self._calls)
        self.resumes = RedisResumes(self._edge, self._calls, limits.max_attempts, self._unowned)
        self._large_reads = LargeReads()
        self._start_thread = start_thread
        self._listeners: list[SignalThread] = []

    def listen(
        self,
        listener: Callable[[Signal], None],
        worker_id: str = "",
        resync: Callable[[], None] | None = None,
    ) -> None:
        if self._start_thread is None:
            raise RuntimeError("a store made without start_thread cannot listen")
        self._worker_id = worker_id
        thread = SignalThread(self._edge.pubsub, self._keys, worker_id, listener, resync)
        self._listeners.append(thread)
        thread.start(self._start_thread, self._edge.timeout_seconds)

    def secret(self) -> bytes:
        found: bytes = self._edge.run(self._calls.secret())
        return found

    def ping(self) -> None:
        with explained(self._keys):
            self._edge.run_all([*map(self._calls.probe, self._edge.spread(self._keys.probe))])

    def check_listening(self) -> None:
        with explained(self._keys):
            self._edge.try_channel(self._keys.channel(""))

    def warnings(self) -> list[str]:
        found = [
            f"Redis may drop sessions: its maxmemory-policy is {policy}, not noeviction."
            for policy in self._policies()
            if policy != "noeviction"
        ]
        if any(listener.refused for listener in self._listeners):
            why = explain("NOPERM", self._keys)
            found.append(f"No signals: cancels of other workers' turns are late. {why}")
        return found

    def _policies(self) -> list[str]:
        try:
            return sorted(set(self._edge.ask_servers(_eviction_policy)))
        except StoreUnavailable as error:
            if error.reason != "NOPERM":
                raise
            return []  # its user may not ask, and works without the answer

    def close(self) -> None:
        while self._listeners:
            self._listeners.pop().close(self._edge.timeout_seconds)
        self._edge.close()


def _eviction_policy(server: Redis) -> str:
    return str(server.info("memory").get("maxmemory_policy", "noeviction"))
