"""What a Redis reports about itself, for those who look after it."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final, NamedTuple

from wsgi_app.compat.python import zip_strict
from wsgi_app.store.redis.edge import Edge

#: Round trips whose median is reported.
SAMPLES: Final = 15


class RedisFacts(NamedTuple):
    """One server; ``clock_offset_seconds`` is its clock minus this process's."""

    name: str
    version: str
    policy: str
    used_bytes: int
    #: 0 for no limit.
    max_bytes: int
    latency_seconds: float
    clock_offset_seconds: float


def examine_redis(url: str, timeout_seconds: float = 2.0) -> list[RedisFacts]:
    """Ask every server that a store of this URL would use.

    Raises StoreUnavailable, and ConfigError for a URL that is none.
    """
    edge = Edge(url, timeout_seconds)
    try:
        return edge.ask_servers(_examine)
    finally:
        edge.close()


def _examine(server: Any) -> RedisFacts:
    info = server.info("server")
    memory = server.info("memory")
    latencies, offsets = zip_strict(*(_time(server) for _ in range(SAMPLES)))
    return RedisFacts(
        name=f"Redis at port {info.get('tcp_port', '?')}",
        version=str(info.get("redis_version", "0")),
        policy=str(memory.get("maxmemory_policy", "noeviction")),
        used_bytes=int(memory.get("used_memory", 0)),
        max_bytes=int(memory.get("maxmemory", 0)),
        latency_seconds=statistics.median(latencies),
        clock_offset_seconds=statistics.median(offsets),
    )


def _time(server: Any) -> tuple[float, float]:
    began, at = time.perf_counter(), time.time()
    seconds, microseconds = server.time()
    took = time.perf_counter() - began
    return took, seconds + microseconds / 1e6 - (at + took / 2)
