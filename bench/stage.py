"""One server on its stage: its provider, its Redis, and the clocks of all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Optional

from bench.programs import (
    Load,
    Plan,
    Programs,
    Target,
    Upstream,
    cpu_seconds,
    machine_cpu_seconds,
)
from bench.servers import OPENAI, PEERS, Served
from tests.support.servers import Redis, redis_server

HEADERS: Final = ("Authorization: Bearer bench",)
#: Answers without an end: the start of a turn is not what is measured.
ENDLESS_BODY: Final = '{"message":"hi"}'
WARM_UP_BODY: Final = '{"message":"tokens=20"}'
#: How long a server takes to start, warm up and end, for estimates.
START_SECONDS: Final = 6.0


class Setup(NamedTuple):
    """What is put on the stage; ``streams`` is the most that one worker may get."""

    server: str
    streams: int
    agent: str = OPENAI
    workers: int = 2
    pace_ms: float = 20.0
    env: Mapping[str, str] = {}
    #: A copy of the project to run it from, instead of this one.
    tree: Optional[Path] = None


class Used(NamedTuple):
    """What was used in a window, in cores on average; the server's is that of all its processes."""

    server_cpu: float
    worker_cpu: list[float]
    redis_cpu: float
    upstream_cpu: float
    load_cpu: float
    other_cpu: float
    redis_commands: int
    upstream_per_second: float
    upstream_late_max_ms: float


class Stage:
    """A server that runs, warmed up, with what it needs. Used by one thread."""

    def __init__(
        self,
        programs: Programs,
        setup: Setup,
        served: Served | None,
        redis: Redis | None,
        upstream: Upstream | None,
    ) -> None:
        self.programs = programs
        self.setup = setup
        self.redis = redis
        self.upstream = upstream
        self._served = served

    @property
    def port(self) -> int:
        """The server's port."""
        assert self._served is not None  # noqa: S101 - only asked where there is a server
        return self._served.port

    @property
    def pid(self) -> int:
        """The server's main process."""
        assert self._served is not None  # noqa: S101 - only asked where there is a server
        return self._served.process.pid

    def workers(self) -> list[int]:
        """The processes that serve."""
        assert self._served is not None  # noqa: S101 - only asked where there is a server
        return self._served.process.children()

    def target(self, name: str = "bench", body: str = ENDLESS_BODY, turns: int = 0) -> Target:
        """What the load generator is to post."""
        if self._served is not None:
            return Target(self._served.port, f"/chat/{name}-%d", body, HEADERS, turns)
        assert self.upstream is not None  # noqa: S101 - one of the two is there
        return Target(self.upstream.port, "/v1/chat/completions", body)

    def count(self, target: Target, plan: Plan) -> Iterator[tuple[Load, Used]]:
        """Load the server step by step, and tell what each used."""
        before: dict[str, Any] = {}

        def begin() -> None:
            before.clear()
            before.update(self._read_clocks())
            self._take_sent()

        for load in self.programs.load(target, plan, begin):
            yield load, self._compare(before, self._read_clocks(), load)

    def _compare(self, before: dict[str, Any], after: dict[str, Any], load: Load) -> Used:
        sent = self._take_sent()
        seconds = after["time"] - before["time"]
        cores = {name: (after[name] - before[name]) / seconds for name in before}
        cores["load"] = load.cpu_seconds / load.seconds if load.seconds else 0.0
        known = ("server", "redis", "upstream", "load")
        return Used(
            server_cpu=cores.get("server", 0.0),
            worker_cpu=[round(cores[name], 2) for name in cores if name.startswith("worker")],
            redis_cpu=cores.get("redis", 0.0),
            upstream_cpu=cores.get("upstream", 0.0),
            load_cpu=cores["load"],
            other_cpu=cores["machine"] - sum(cores.get(name, 0.0) for name in known),
            redis_commands=round(after.get("commands", 0) - before.get("commands", 0)),
            upstream_per_second=sent.get("sent", 0) / seconds,
            upstream_late_max_ms=sent.get("late_max_ms", 0.0),
        )

    def _take_sent(self) -> dict[str, Any]:
        if self.upstream is not None:
            return self.upstream.take_stats()
        return {}

    def _read_clocks(self) -> dict[str, Any]:
        used: dict[str, Any] = {}
        if self._served is not None:
            used["server"] = cpu_seconds(self.pid)
            for worker in self.workers():
                used[f"worker {worker}"] = cpu_seconds(worker)
        if self.redis is not None:
            used["redis"] = cpu_seconds(self.redis.pid)
            used["commands"] = count_commands(self.redis)
        if self.upstream is not None:
            used["upstream"] = cpu_seconds(self.upstream.pid)
        return {**used, "machine": machine_cpu_seconds(), "time": time.monotonic()}


@contextmanager
def staged(programs: Programs, setup: Setup) -> Iterator[Stage]:
    """Run a server with its provider and its Redis for the length of the block."""
    peer = PEERS[setup.server]
    peer.prepare()
    with ExitStack() as stack:
        redis = upstream = None
        if setup.agent == OPENAI:
            upstream = stack.enter_context(programs.upstream(setup.pace_ms))
        if peer.with_redis:
            redis = stack.enter_context(redis_server())
        env = environment(setup, redis, upstream)
        served = stack.enter_context(peer.run(setup.workers, setup.streams, env, setup.tree))
        stage = Stage(programs, setup, served, redis, upstream)
        if setup.pace_ms < 1000:  # noqa: PLR2004 - an idle answer has no end to wait for
            programs.warm_up(stage.target("warm", WARM_UP_BODY))
        yield stage


def environment(setup: Setup, redis: Redis | None, upstream: Upstream | None) -> dict[str, str]:
    """What tells a server of its agent, its provider and its Redis."""
    env = {**setup.env, "BENCH_AGENT": setup.agent, "BENCH_PACE_MS": f"{setup.pace_ms:g}"}
    env["OPENAI_API_KEY"] = "bench"
    if upstream is not None:
        env["OPENAI_BASE_URL"] = upstream.url
    if redis is not None:
        env["AGENT_REDIS_URL"] = redis.url
    return env


@contextmanager
def bare(programs: Programs, pace_ms: float) -> Iterator[Stage]:
    """Run the provider alone, to be loaded itself."""
    with programs.upstream(pace_ms) as upstream:
        yield Stage(programs, Setup("", 0, pace_ms=pace_ms), None, None, upstream)


def count_commands(redis: Redis) -> int:
    """How many commands the server has run so far, those of its scripts included."""
    with redis.client() as client:
        stats: Mapping[str, Any] = client.info("commandstats")
        return sum(int(one["calls"]) for one in stats.values())
