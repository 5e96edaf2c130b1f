"""Time to the first byte and to the first token, at many starts at once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from bench.programs import Plan, Programs
from bench.report import markdown, median, names_in, numbers_in
from bench.servers import PEERS, available
from bench.stage import Setup, Stage, staged
from bench.works import Row, Tell, Work

ALONE: Final = 40
ALONE_PER_SECOND: Final = 8.0
END_SECONDS: Final = 15.0
FIGURES: Final = ("first_byte_p50_ms", "first_byte_p99_ms", "first_token_p50_ms",
                  "first_token_p99_ms", "late_ms")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    servers = "host,host-parked,fastapi,express"
    add("--starts", default="1,50,300", help="how many at once")
    add("--servers", default=servers, help=f"of {','.join(available('openai'))}")
    add("--tokens", type=int, default=3, help="how many each answer has")
    add("--pace-ms", type=float, default=20.0, help="from token to token")
    add("--rounds", type=int, default=3, help=f"of each burst; of single starts there are {ALONE}")
    add("--workers", type=int, default=2, help="processes of each server")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Start turns on each server, one by one and in bursts."""
    rows = []
    starts = [int(number) for number in options.starts.split(",")]
    for server in options.servers.split(","):
        setup = Setup(server, max(starts), workers=options.workers, pace_ms=options.pace_ms)
        with staged(programs, setup) as stage:
            for number in starts:
                for row in _start(stage, number, options):
                    tell(
                        f"{PEERS[server].label}, {number} at once: first byte after "
                        f"{row['first_byte_p50_ms']:.1f} ms, first token after "
                        f"{row['first_token_p50_ms']:.1f} ms (p50), last end "
                        f"{row['late_ms']:.0f} ms after the ideal"
                    )
                    rows.append(row)
    return rows


def table(rows: list[Row]) -> str:
    """The medians over the rounds in Markdown; one pace to the first token is the provider's."""
    lines = []
    for number in numbers_in(rows, "starts"):
        for server in names_in(rows, "server"):
            own = [row for row in rows if (row["starts"], row["server"]) == (number, server)]
            figures = [_figure(own, name) for name in FIGURES] if own else []
            lines += [(str(number), PEERS[server].label, *figures)] if own else []
    heads = ("first byte p50 ms", "p99 ms", "first token p50 ms", "p99 ms", "last end late ms")
    return markdown(("starts at once", "server", *heads), lines)


def _figure(rows: list[Row], name: str) -> str:
    return f"{median(rows, name):,.1f}" if name in rows[0] else "not kept"  # of an older run


def _start(stage: Stage, number: int, options: argparse.Namespace) -> Iterator[Row]:
    alone = number == 1
    body = f'{{"message":"tokens={options.tokens}"}}'
    ideal_ms = options.tokens * options.pace_ms + (1000 * (ALONE - 1) / ALONE_PER_SECOND) * alone
    plan = Plan([ALONE if alone else number], END_SECONDS, per_second=ALONE_PER_SECOND * alone)
    for round_ in range(1 if alone else options.rounds):
        for load, used in stage.count(stage.target(f"start-{number}-{round_}", body), plan):
            fault = load.fault(may_end=True)
            missing = load.streams - load.ended
            yield {
                "server": stage.setup.server,
                "starts": number,
                "round": round_,
                "late_ms": load.last_end_ms - ideal_ms,
                "fault": fault or (f"{missing} without an end" if missing else ""),
                **load._asdict(),
                **used._asdict(),
            }


STARTS: Final = Work(
    add_arguments, measure, table, "time to first byte and first token, at many starts at once"
)
