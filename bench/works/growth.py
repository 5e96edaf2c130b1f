"""What a token costs as streams, an answer's tokens, or a turn's readers double."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Final

from bench.programs import Load, Plan, Programs
from bench.report import markdown
from bench.servers import PEERS
from bench.stage import Setup, Stage, Used, staged
from bench.works import Row, Tell, Work

#: Of the answers whose length doubles.
TURNS: Final = 50
PACE_MS: Final = 10.0
#: Turns whose readers double.
READ_TURNS: Final = 20
STREAMS: Final = "streams"
TOKENS: Final = "tokens per answer"
READERS: Final = "readers per turn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--servers", default="host-parked", help="which are measured")
    add("--streams", default="100,200,400,800", help="doubled")
    add("--tokens", default="250,500,1000", help="doubled")
    add("--readers", default="1,2,4,8", help="doubled")
    add("--workers", type=int, default=2, help="processes of each server")
    add("--window-seconds", type=float, default=3.0, help="of counting")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Double one after the other."""
    rows = []
    for server in options.servers.split(","):
        for row in _grow(server, options, programs):
            tell(
                f"{PEERS[server].label}, {row['value']} {row['grown']}: "
                f"{row['cpu_seconds_per_million']:.0f} CPU seconds per million tokens"
            )
            rows.append(row)
    return rows


def table(rows: list[Row]) -> str:
    """CPU seconds per million delivered tokens in Markdown: the same, where growth is linear."""
    lines = [
        (
            PEERS[row["server"]].label,
            row["grown"],
            str(row["value"]),
            f"{row['tokens_per_second']:,.0f}",
            f"{row['cpu_seconds_per_million']:.0f}",
        )
        for row in rows
    ]
    heads = ("server", "grown", "to", "tokens/s", "CPU seconds per million tokens delivered")
    return markdown(heads, lines)


def _grow(server: str, options: argparse.Namespace, programs: Programs) -> Iterator[Row]:
    streams, tokens, readers = (
        [int(number) for number in text.split(",")]
        for text in (options.streams, options.tokens, options.readers)
    )
    window = options.window_seconds
    most = max(*streams, READ_TURNS * max(readers), TURNS)
    setup = Setup(server, most, workers=options.workers)
    with staged(programs, setup) as stage:
        plan = Plan(streams, window, 2.0)
        for load, used in stage.count(stage.target(), plan):
            yield _row(stage, STREAMS, load.streams, load, used)
    with staged(programs, setup) as stage:
        yield from _double_readers(stage, readers, window)
    with staged(programs, setup._replace(pace_ms=PACE_MS)) as stage:
        yield from _double_tokens(stage, tokens)


def _double_readers(stage: Stage, readers: Sequence[int], window: float) -> Iterator[Row]:
    plan = Plan([READ_TURNS * number for number in readers], window, 2.0)
    loads = stage.count(stage.target(turns=READ_TURNS), plan)
    for number, (load, used) in zip(readers, loads, strict=True):
        yield _row(stage, READERS, number, load, used)


def _double_tokens(stage: Stage, tokens: Sequence[int]) -> Iterator[Row]:
    for number in tokens:
        body = f'{{"message":"tokens={number}"}}'
        plan = Plan([TURNS], number * PACE_MS / 1000 * 3 + 10, per_second=0)
        for load, used in stage.count(stage.target(f"long-{number}", body), plan):
            yield _row(stage, TOKENS, number, load, used, may_end=True)


def _row(  # noqa: PLR0913, PLR0917 - what was grown, and what came of it
    stage: Stage,
    grown: str,
    value: int,
    load: Load,
    used: Used,
    may_end: bool = False,  # noqa: FBT001, FBT002
) -> Row:
    cores = used.server_cpu + used.redis_cpu
    return {
        "server": stage.setup.server,
        "grown": grown,
        "value": value,
        "tokens_per_second": load.tokens / load.seconds,
        "cpu_seconds_per_million": cores * load.seconds / max(1, load.tokens) * 1e6,
        "fault": load.fault(may_end=may_end),
        **load._asdict(),
        **used._asdict(),
    }


GROWTH: Final = Work(
    add_arguments, measure, table, "CPU per token as streams, tokens or readers double"
)
