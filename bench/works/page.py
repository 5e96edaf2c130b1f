"""A page of the site beside thousands of parked streams, on a worker of few threads."""

from __future__ import annotations

import argparse
import http.client
import statistics
import time
from collections.abc import Iterator
from typing import Final

from bench.programs import Plan, Programs
from bench.report import markdown
from bench.servers import OPENAI, PARKED, PEERS
from bench.stage import Setup, Stage, staged
from bench.works import Row, Tell, Work

PAUSE_SECONDS: Final = 0.005
#: What a page that does not come counts as.
PATIENCE_SECONDS: Final = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--streams", default="0,5000", help="how many are open")
    add("--agents", default=OPENAI, help="whose turns they are: openai, paced")
    add("--server", default=PARKED, help="which is measured, with one worker")
    add("--pace-ms", type=float, default=10_000.0, help="between two tokens of a stream")
    add("--seconds", type=float, default=8.0, help="of asking for the page")
    add("--per-second", type=float, default=100.0, help="streams opened")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Ask for the page without streams, and with all of them."""
    rows = []
    steps = [int(number) for number in options.streams.split(",")]
    for agent in options.agents.split(","):
        setup = Setup(options.server, max(steps), agent, 1, options.pace_ms)
        for row in _ask_at_each(programs, setup, steps, options):
            tell(
                f"{row['streams']} streams ({agent}): the page after {row['page_p50_ms']:.1f} ms, "
                f"p99 {row['page_p99_ms']:.1f} ms"
            )
            rows.append(row)
    return rows


def table(rows: list[Row]) -> str:
    """The page's latency in Markdown."""
    lines = [
        (
            PEERS[row["server"]].label,
            row["agent"],
            f"{row['streams']:,}",
            f"{row['page_p50_ms']:.1f}",
            f"{row['page_p99_ms']:.1f}",
        )
        for row in rows
    ]
    return markdown(("server, one worker", "agent", "streams", "page p50 ms", "p99 ms"), lines)


def _ask_at_each(
    programs: Programs, setup: Setup, steps: list[int], options: argparse.Namespace
) -> Iterator[Row]:
    with staged(programs, setup) as stage:
        if 0 in steps:
            yield _row(stage, 0, "", _ask(stage, options.seconds))
        window = options.seconds + 1
        plan = Plan([step for step in steps if step], window, 2.0, options.per_second)
        asked: list[list[float]] = []
        loads = programs.load(
            stage.target(), plan, lambda: asked.append(_ask(stage, options.seconds))
        )
        for load in loads:
            yield _row(stage, load.streams, load.fault(), asked[-1])


def _ask(stage: Stage, seconds: float) -> list[float]:
    """Ask for the page again and again on one connection; how long each took, in ms."""
    took = []
    ends_at = time.monotonic() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=PATIENCE_SECONDS)
    while time.monotonic() < ends_at:
        asked_at = time.monotonic()
        try:
            connection.request("GET", "/page")
            connection.getresponse().read()
        except TimeoutError:
            connection.close()
        took.append((time.monotonic() - asked_at) * 1000)
        time.sleep(PAUSE_SECONDS)
    connection.close()
    return took


def _row(stage: Stage, streams: int, fault: str, took: list[float]) -> Row:
    hundredths = statistics.quantiles([*took, took[-1]], n=100)
    return {
        "server": stage.setup.server,
        "agent": stage.setup.agent,
        "streams": streams,
        "fault": fault,
        "requests": len(took),
        "page_p50_ms": hundredths[49],
        "page_p99_ms": hundredths[98],
        "page_max_ms": max(took),
    }


PAGE: Final = Work(add_arguments, measure, table, "a page's latency beside parked streams")
