"""Memory per idle stream, at a thousand and at thousands."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Final

from bench.programs import WARM_UP_STREAMS, Plan, Programs, memory_bytes, stack_bytes
from bench.report import markdown, names_in, numbers_in
from bench.servers import OPENAI, PACED, PEERS
from bench.stage import Setup, Stage, staged
from bench.works import Row, Tell, Work

#: One turn of a generator agent, and all streams its readers: what delivery alone costs.
READERS: Final = "readers"
#: So slow that nothing comes while memory is measured.
IDLE_PACE_MS: Final = 3_600_000.0
#: As long as the streams are held while it is measured.
MEASURING_SECONDS: Final = 1.0
LABELS: Final = {
    PACED: "a turn of a generator agent",
    OPENAI: "a turn of OpenAIAgent, its connection open",
    READERS: "one more reader of one turn",
}
CASES: Final = "host:paced,host:openai,host:readers,host-parked:paced,host-parked:openai,"
PEER_CASES: Final = "host-parked:readers,fastapi:paced"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--streams", default="1000,4000", help="at how many memory is measured")
    add("--cases", default=CASES + PEER_CASES, help="servers, each with paced, openai or readers")
    add("--workers", type=int, default=2, help="processes of each server")
    add("--per-second", type=float, default=200.0, help="streams opened")
    add("--settle-seconds", type=float, default=2.0, help="between the opening and the measuring")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Open idle streams on each server."""
    rows = []
    for case in options.cases.split(","):
        server, _, kind = case.partition(":")
        agent = PACED if kind == READERS else kind
        steps = [int(streams) for streams in options.streams.split(",")]
        setup = Setup(server, max(steps), agent, options.workers, IDLE_PACE_MS)
        with staged(programs, setup) as stage:
            for row in _count(stage, kind, steps, options):
                tell(
                    f"{PEERS[server].label}, {LABELS[kind]}: {row['streams']} streams, "
                    f"{row['kb_per_stream']:.1f} kB each, "
                    f"{row['stack_kb_per_stream']:.1f} of it its threads' stacks"
                )
                rows.append(row)
    return rows


def table(rows: list[Row]) -> str:
    """Kilobytes per stream in Markdown."""
    found = {(row["server"], row["kind"], row["streams"]): row["kb_per_stream"] for row in rows}
    columns = numbers_in(rows, "streams")
    lines = [
        (
            PEERS[server].label,
            LABELS[kind],
            *(f"{found[server, kind, n]:.1f}" for n in columns),
        )
        for server in names_in(rows, "server")
        for kind in names_in(rows, "kind")
        if (server, kind, columns[0]) in found
    ]
    return markdown(("server", "a stream is", *(f"kB each of {n:,}" for n in columns)), lines)


def _count(stage: Stage, kind: str, steps: list[int], options: argparse.Namespace) -> Iterator[Row]:
    _use_once(stage)
    before, stacks_before = memory_bytes(stage.pid), stack_bytes(stage.pid)
    plan = Plan(steps, MEASURING_SECONDS, options.settle_seconds, options.per_second)
    target = stage.target(turns=1 if kind == READERS else 0)
    measured: list[tuple[int, int]] = []

    def look() -> None:
        measured.append((memory_bytes(stage.pid), stack_bytes(stage.pid)))

    for load in stage.programs.load(target, plan, look):
        memory, stacks = measured[-1]
        yield {
            "server": stage.setup.server,
            "kind": kind,
            "kb_per_stream": (memory - before) / 1000 / load.streams,
            "stack_kb_per_stream": (stacks - stacks_before) / 1000 / load.streams,
            "fault": load.fault(),
            **load._asdict(),
        }


def _use_once(stage: Stage) -> None:
    """Have loaded what the first streams load."""
    list(stage.programs.load(stage.target("warm"), Plan([WARM_UP_STREAMS], 1.0, 1.0)))
    time.sleep(1)


MEMORY: Final = Work(
    add_arguments, measure, table, "memory per idle stream: turns, and further readers"
)
