"""What it costs that a turn is run by another worker, which has its session's agent."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.first_line import Asked, first_line_seconds
from bench.programs import Programs, wait_quiet
from bench.report import markdown, median
from bench.works import Row, Tell, Work
from tests.support.servers import gunicorn, redis_server
from wsgi_app.auth import DEVELOPMENT_TOKEN

APP: Final = "tests.support.session_agents:session_agents_app()"
WHERE: Final = ("at home", "handed over")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--turns", type=int, default=100, help="on each of the two workers, in turn")
    add("--rounds", type=int, default=3, help="how often, each with a session of its own")
    add("--patience-seconds", type=float, default=30.0, help="for others on this machine to rest")


def measure(options: argparse.Namespace, _programs: Programs, tell: Tell) -> list[Row]:
    """Let turns of one session come to its owner and to another worker."""
    rows = []
    with _two_hosts() as ports:
        for round_ in range(options.rounds):
            wait_quiet(options.patience_seconds)
            seconds: dict[str, list[float]] = {where: [] for where in WHERE}
            for _ in range(options.turns):
                for where, port in zip(WHERE, ports):
                    seconds[where].append(_first_event_seconds(port, f"affinity-{round_}"))
            row = {where: statistics.median(seconds[where]) * 1000 for where in WHERE}
            rows.append({"server": "host", "round": round_, **row})
            tell(", ".join(f"{where} {row[where]:.1f} ms" for where in WHERE))
    return rows


def table(rows: list[Row]) -> str:
    """The medians over the rounds, in Markdown."""
    home, away = (median(rows, where) for where in WHERE)
    line = (f"{home:.1f}", f"{away:.1f}", f"{away - home:.1f}")
    return markdown(("first event at home, ms", "handed over", "more"), [line])


@contextmanager
def _two_hosts() -> Iterator[list[int]]:
    with ExitStack() as stack:
        env = {"AGENT_REDIS_URL": stack.enter_context(redis_server()).url}
        env["AGENT_RATE_LIMIT"] = "1000000/second"
        yield [stack.enter_context(gunicorn(APP, env=env)).port for _ in WHERE]


def _first_event_seconds(port: int, session: str) -> float:
    path = f"/agents/chat/{session}"
    return first_line_seconds(Asked(port, path, {"message": "hi"}, b"data:", DEVELOPMENT_TOKEN))


AFFINITY: Final = Work(add_arguments, measure, table, "turns that their session's worker runs")
