"""Turns that all begin at one instant on one worker, and whose tool blocks a thread each."""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.programs import Programs, wait_quiet
from bench.report import markdown
from bench.works import Row, Tell, Work
from tests.support.crowd import Crowd, send_crowd, send_pages
from tests.support.crowd_app import ANSWERED, NAP_SECONDS, PAGE, PREFIX, message
from tests.support.processes import free_port, started
from tests.support.servers import answers_http, gunicorn, redis_server

#: Threads beyond those of the streams, for the page; the eighth that the host keeps free is more.
SPARE_THREADS: Final = 20
WARM_UP_TURNS: Final = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--turns", default="1,300", help="how many begin at once")
    add("--rounds", type=int, default=3, help="how often each is measured")
    add("--patience-seconds", type=float, default=30.0, help="for others on this machine to rest")


def measure(options: argparse.Namespace, _programs: Programs, tell: Tell) -> list[Row]:
    """Let a crowd in, again and again, with Redis journaling on."""
    counts = [int(number) for number in options.turns.split(",")]
    rows = []
    with _served(max(counts)) as port:
        _let_in(port, WARM_UP_TURNS)
        for turns in counts * options.rounds:
            wait_quiet(options.patience_seconds)
            row = _row(turns, _let_in(port, turns))
            wait_quiet(options.patience_seconds)
            # What a page that comes behind so many requests waits for in any case.
            row["pages_alone_ms"] = send_pages(port, PAGE, turns) * 1000
            tell(
                f"{turns} turns: the last ended {row['seconds_over_ideal']:.2f} s after the ideal;"
                f" the page took {row['page_p50_ms']:.1f} ms, 90% {row['page_p90_ms']:.1f} ms,"
                f" at the most {row['page_max_ms']:.1f} ms;"
                f" the last of {turns} pages at once {row['pages_alone_ms']:.1f} ms"
            )
            rows.append(row)
    return rows


def table(rows: list[Row]) -> str:
    """The medians over the rounds, in Markdown."""
    names = ("seconds_over_ideal", "page_p50_ms", "page_p90_ms", "page_max_ms", "pages_alone_ms")
    lines = []
    for turns in dict.fromkeys(row["turns"] for row in rows):
        mine = [row for row in rows if row["turns"] == turns]
        medians = [statistics.median(row[name] for row in mine) for name in names]
        lines.append((f"{turns}", f"{medians[0]:.2f}", *(f"{value:.1f}" for value in medians[1:])))
    times = ("last end, s after the ideal", "page p50 ms", "p90 ms", "max ms")
    titles = ("turns at once", *times, "the last of as many pages at once, ms")
    return markdown(titles, lines)


@contextmanager
def _served(turns: int) -> Iterator[int]:
    """One worker of the site, its scripted provider and its Redis; returns the port."""
    with ExitStack() as stack:
        provider_port = free_port()
        command = [sys.executable, "-m", "tests.support.upstream", str(provider_port)]
        provider = stack.enter_context(started(command))
        provider.wait_until(lambda: answers_http(provider_port))
        env = {
            "OPENAI_BASE_URL": f"http://127.0.0.1:{provider_port}/v1",
            "OPENAI_API_KEY": "bench",
            "AGENT_REDIS_URL": stack.enter_context(redis_server()).url,
        }
        threads = turns + turns // 7 + SPARE_THREADS
        app = "tests.support.crowd_app:crowd_app()"
        yield stack.enter_context(gunicorn(app, threads=threads, env=env)).port


def _let_in(port: int, turns: int) -> Crowd:
    messages = [message(secrets.token_hex(8)) for _ in range(turns)]
    return send_crowd(port, PREFIX, messages, PAGE)


def _row(turns: int, crowd: Crowd) -> Row:
    streams = Counter(crowd.streams)
    waits_ms = sorted(seconds * 1000 for seconds in crowd.page_seconds)
    return {
        "turns": turns,
        "server": "host",
        "fault": "" if streams == {ANSWERED: turns} else f"not as it should be: {dict(streams)}",
        "seconds_over_ideal": crowd.seconds - NAP_SECONDS,
        "page_requests": len(waits_ms),
        "page_p50_ms": waits_ms[len(waits_ms) // 2],
        "page_p90_ms": waits_ms[len(waits_ms) * 9 // 10],
        "page_max_ms": waits_ms[-1],
    }


CROWD: Final = Work(add_arguments, measure, table, "turns at one instant whose tools block")
