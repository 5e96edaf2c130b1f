"""Tokens through the real openai package, from the model provider to the client."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.measure import START_SECONDS, Bench, Case, Run
from bench.programs import Programs, wait_quiet
from bench.servers import PEERS, available

#: Far faster than any model, to find what the generator and the upstream can do at the most.
CEILING_PACE_MS: Final = 2.0
CEILING_STREAMS: Final = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--streams", default="100,300", help="how many at once, such as 500,800,1200")
    add("--servers", default=",".join(available()), help="which are measured")
    add("--rounds", type=int, default=3, help="how often each is measured")
    add("--pace-ms", type=float, default=20.0, help="between two tokens of a stream")
    add("--workers", type=int, default=2, help="processes of each server")
    add("--warm-seconds", type=float, default=3.0, help="between the last opening and counting")
    add("--window-seconds", type=float, default=6.0, help="of counting")
    add("--patience-seconds", type=float, default=60.0, help="for others on this machine to rest")
    add("--store", choices=("redis", "memory"), default="redis", help="the host's")


def measure(
    options: argparse.Namespace, programs: Programs, tell: Callable[[str], None]
) -> tuple[list[Run], list[Run]]:
    """Measure the ceilings, then all servers in turns; both as runs."""
    bench = Bench(programs, options.warm_seconds, options.window_seconds)
    loads = [int(streams) for streams in options.streams.split(",")]
    servers = options.servers.split(",")
    for name in servers:
        PEERS[name].prepare()
    cases = list(_in_turns(options.rounds, loads, servers))
    seconds = sum(bench.timing(case.streams).total_seconds + START_SECONDS for case in cases)
    tell(f"{len(cases)} runs, {seconds / 60 + 1:.0f} minutes")
    ceilings = [bench.ceiling(streams, options.pace_ms) for streams in loads]
    ceilings.append(bench.ceiling(CEILING_STREAMS, CEILING_PACE_MS))
    runs = []
    for number, case in enumerate(cases, 1):
        wait_quiet(options.patience_seconds)
        run = bench.run(case, options.pace_ms, options.workers, with_redis=options.store == "redis")
        tell(f"{number:3}/{len(cases)} {_describe(run)}")
        runs.append(run)
    return ceilings, runs


def _in_turns(rounds: int, loads: Sequence[int], servers: Sequence[str]) -> Iterator[Case]:
    """Servers alternate, the other way round in every second round: none is always first."""
    for number in range(1, rounds + 1):
        for streams in loads:
            for name in servers if number % 2 else reversed(servers):
                yield Case(name, streams, number)


def _describe(run: Run) -> str:
    text = (
        f"{run.case.server:15} {run.case.streams:5} streams {run.per_second:9,.0f} tokens/s"
        f"  p50 {run.load.p50_ms:8,.1f} ms  p99 {run.load.p99_ms:8,.1f} ms"
        f"  others on this machine {run.other_cpu:4.1f} cores"
    )
    if run.load.silent:
        text += f"  {run.load.silent} streams got nothing"
    return f"{text}  FAULT: {run.load.fault}" if run.load.fault else text
