"""One server under one load, once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final, NamedTuple

from bench.programs import (
    Load,
    Programs,
    Target,
    Timing,
    Upstream,
    cpu_seconds,
    machine_cpu_seconds,
)
from bench.servers import PEERS
from tests.support.servers import redis_server

#: Answers without an end: the start of a turn is not what is measured.
BODY: Final = '{"message":"hi"}'
HEADERS: Final = ("Authorization: Bearer bench",)
#: Slow enough that opening streams does not overload what could serve them.
OPENED_PER_SECOND: Final = 100
WARM_UP_BODY: Final = '{"message":"tokens=20"}'
WARM_UP_STREAMS: Final = 30
WARM_UP_SECONDS: Final = 2.0
#: A server's start and end, for the estimate of how long it all takes.
START_SECONDS: Final = WARM_UP_SECONDS + 4.0


class Case(NamedTuple):
    """What is measured: ``server`` is its name, or what stands in for one."""

    server: str
    streams: int
    round: int = 0


class Run(NamedTuple):
    """A case, measured; CPU is in cores, on average over the window.

    The server's is that of all its processes.
    """

    case: Case
    load: Load
    offered_per_second: float
    upstream_late_max_ms: float
    server_cpu: float
    worker_cpu: list[float]
    redis_cpu: float
    upstream_cpu: float
    load_cpu: float
    other_cpu: float

    @property
    def per_second(self) -> float:
        """Tokens that reached the client, a second."""
        return self.load.tokens / self.load.seconds

    @property
    def cpu_us_per_token(self) -> float:
        """What the server and its Redis spent on a token, in microseconds."""
        return (self.server_cpu + self.redis_cpu) / max(1.0, self.per_second) * 1e6


class Bench:
    """Measures cases, each with programs that are started for it alone."""

    def __init__(self, programs: Programs, warm_seconds: float, window_seconds: float) -> None:
        self._programs = programs
        self._warm_seconds = warm_seconds
        self._window_seconds = window_seconds

    def timing(self, streams: int) -> Timing:
        """How long a case with so many streams takes."""
        return Timing(streams / OPENED_PER_SECOND, self._warm_seconds, self._window_seconds)

    def ceiling(self, streams: int, pace_ms: float) -> Run:
        """Put the load generator straight on the upstream."""
        case = Case(f"no server, {pace_ms:g} ms per token", streams)
        with self._programs.upstream(pace_ms) as upstream:
            target = Target(upstream.port, "/v1/chat/completions", BODY)
            return self._count(case, target, upstream, {})

    def run(self, case: Case, pace_ms: float, workers: int, *, with_redis: bool) -> Run:
        """Put the load generator on a server, and that on the upstream."""
        peer = PEERS[case.server]
        with ExitStack() as stack:
            upstream = stack.enter_context(self._programs.upstream(pace_ms))
            env = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": "bench"}
            pids = {}
            if peer.journals and with_redis:
                redis = stack.enter_context(redis_server())
                env["AGENT_REDIS_URL"], pids["redis"] = redis.url, redis.pid
            served = stack.enter_context(peer.run(workers, case.streams, env))
            pids["server"] = served.process.pid
            pids |= {f"worker {pid}": pid for pid in served.process.children()}
            warm_up = Target(served.port, "/chat/warm-%d", WARM_UP_BODY, HEADERS)
            self._programs.warm_up(warm_up, WARM_UP_STREAMS, WARM_UP_SECONDS)
            target = Target(served.port, "/chat/bench-%d", BODY, HEADERS)
            return self._count(case, target, upstream, pids)

    def _count(
        self, case: Case, target: Target, upstream: Upstream, pids: Mapping[str, int]
    ) -> Run:
        watched = {"upstream": upstream.pid, **pids}
        before: dict[str, float] = {}

        def begin() -> None:
            upstream.take_stats()
            before.update(_read_clocks(watched))

        load = self._programs.load(target, case.streams, self.timing(case.streams), begin)
        after = _read_clocks(watched)
        sent = upstream.take_stats()
        seconds = after["time"] - before["time"]
        cores = {key: (after[key] - before[key]) / seconds for key in after}
        cores["load"] = load.cpu_seconds / load.seconds
        return Run(
            case,
            load,
            offered_per_second=sent["sent"] / seconds,
            upstream_late_max_ms=sent["late_max_ms"],
            server_cpu=cores.get("server", 0.0),
            worker_cpu=[round(cores[name], 2) for name in watched if name.startswith("worker")],
            redis_cpu=cores.get("redis", 0.0),
            upstream_cpu=cores["upstream"],
            load_cpu=cores["load"],
            other_cpu=cores["machine"]
            - sum(cores.get(name, 0.0) for name in ("server", "redis", "upstream", "load")),
        )


def _read_clocks(pids: Mapping[str, int]) -> dict[str, float]:
    used = {name: cpu_seconds(pid) for name, pid in pids.items()}
    return {**used, "machine": machine_cpu_seconds(), "time": time.monotonic()}
