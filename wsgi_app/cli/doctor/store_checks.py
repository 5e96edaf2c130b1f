"""Judges the Redis that the workers share, and their clocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from wsgi_app.cli.doctor.report import Finding
from wsgi_app.store.base import WorkerView
from wsgi_app.store.redis.facts import RedisFacts

OLDEST_VERSION: Final = (6, 2)
#: A store call is on every request's path; within one site a round trip takes well under this.
SLOW_SECONDS: Final = 0.01
FULL: Final = 0.8
#: Tickets are good for 60 s, and web tokens have a leeway of 30.
SKEW_SECONDS: Final = 2.0
CONFIGURATION: Final = "redis.conf"
_NUMBER: Final = re.compile(r"\d+")


def check_refusal(reason: str, prefix: str) -> Finding:
    """Report what Redis refuses to the host at this prefix."""
    problem, _, change = reason.partition(". ")
    return Finding(
        "redis_refuses",
        f"{problem}: the host at {prefix} cannot work",
        change or "a Redis that takes writes: a master, with memory and disk to spare",
        "AGENT_REDIS_URL",
    )


def _version(server: RedisFacts) -> Iterator[Finding]:
    numbers = tuple(int(number) for number in _NUMBER.findall(server.version)[:2])
    if numbers < OLDEST_VERSION:
        yield Finding(
            "redis_version",
            f"Redis is {server.version}",
            "take Redis 6.2 or newer, or Valkey",
            server.name,
        )


def _policy(server: RedisFacts) -> Iterator[Finding]:
    if server.policy != "noeviction":
        yield Finding(
            "redis_policy",
            f"maxmemory-policy is {server.policy}: when memory is short Redis drops sessions",
            "maxmemory-policy noeviction",
            f"{CONFIGURATION} of {server.name}",
        )


def _memory(server: RedisFacts) -> Iterator[Finding]:
    if server.max_bytes and server.used_bytes > FULL * server.max_bytes:
        yield Finding(
            "redis_memory",
            f"Redis uses {server.used_bytes:,} of {server.max_bytes:,} bytes: above that it"
            " refuses turns",
            "a larger maxmemory, or a smaller AGENT_SESSION_TTL_SECONDS",
            f"{CONFIGURATION} of {server.name}",
        )


def _latency(server: RedisFacts) -> Iterator[Finding]:
    if server.latency_seconds > SLOW_SECONDS:
        yield Finding(
            "redis_latency",
            f"Redis takes {server.latency_seconds * 1000:.1f} ms for a round trip: each request"
            " waits for several",
            "a Redis in the same data centre, or one with less to do",
            server.name,
        )


#: Each looks at one server.
REDIS_CHECKS: Final[tuple[Callable[[RedisFacts], Iterator[Finding]], ...]] = (
    _version,
    _policy,
    _memory,
    _latency,
)


def check_clocks(
    servers: Sequence[RedisFacts], workers: Sequence[WorkerView], here: str
) -> list[Finding]:
    """Find clocks that differ from Redis's: this machine's, and each worker's by its heartbeat."""
    skews = {f"this machine ({here})": -server.clock_offset_seconds for server in servers}
    for view in workers:
        if view.info.sent_at:
            name = f"{view.info.hostname}, pid {view.info.pid}"
            skews[name] = view.info.sent_at - view.seen_at
    return [
        Finding(
            "clock_skew",
            f"the clock of {name} is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'}"
            " Redis's: tickets and tokens expire early, or late",
            "have all machines keep time (chrony, systemd-timesyncd)",
            name,
        )
        for name, skew in skews.items()
        if abs(skew) > SKEW_SECONDS
    ]
