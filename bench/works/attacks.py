"""What a second tenant gets while one, or a stranger, attacks; beside a run without an attack."""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.programs import Programs
from bench.report import markdown
from bench.stage import count_commands
from bench.works import Row, Tell, Work
from tests.support.attacks import ATTACKS, TOKEN, run
from tests.support.client import WANTS_JSON, Client, new_session
from tests.support.processes import ROOT
from tests.support.servers import Gunicorn, Redis, Server, gunicorn, redis_server
from tests.support.service import project_nginx

QUIET: Final = "quiet"
VICTIM: Final = "beta-token"
PATIENCE_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 0.1
ENV: Final = {"AGENT_TOKENS": f"{TOKEN}=alpha,{VICTIM}=beta", "AGENT_RATE_LIMIT": "100000/minute"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--attacks", default=",".join([QUIET, *ATTACKS]), help="which")
    add("--entries", default="gunicorn,nginx", help="what is attacked")
    add("--workers", type=int, default=2, help="of the host")
    add("--threads", type=int, default=32, help="of each")
    add("--clients", type=int, default=2, help="of the second tenant, one request after the other")
    add("--before", type=float, default=3.0, help="seconds of attack before it is measured")
    add("--seconds", type=float, default=12.0, help="measured")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:  # noqa: ARG001 - it needs none of them
    """Attack a new host each time, and count what the second tenant is served."""
    rows = []
    for entry in options.entries.split(","):
        for attack in options.attacks.split(","):
            rows.append(_measure_one(options, entry, attack))
            tell(f"{attack} at {entry}: {rows[-1]['per_second']:.1f} turns a second")
    return rows


def table(rows: list[Row]) -> str:
    """Memory and requests of each attack, beside the quiet run's."""
    heads = (
        *("attack", "at", "MB a worker before", "most", "second tenant's turns/s"),
        *("p50 ms", "p99 ms", "refused or failed", "Redis commands/s"),
    )
    lines = [
        (
            row["attack"].replace("_", " "),
            row["entry"],
            f"{row['mb_before']:.0f}",
            f"{row['mb_most']:.0f}",
            f"{row['per_second']:.1f}",
            f"{row['p50_ms']:.0f}",
            f"{row['p99_ms']:.0f}",
            row["faults"] or "0",
            f"{row['redis_per_second']:,.0f}",
        )
        for row in rows
    ]
    return markdown(heads, lines)


class _Stage(NamedTuple):
    server: Gunicorn
    redis: Redis
    entry: Server


@contextmanager
def _staged(options: argparse.Namespace, entry: str) -> Iterator[_Stage]:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        server = stack.enter_context(
            gunicorn(
                "tests.support.apps:scripted_app()",
                workers=options.workers,
                threads=options.threads,
                env={**ENV, "AGENT_REDIS_URL": redis.url},
                config=ROOT / "gunicorn.conf.py",
            )
        )
        proxy = stack.enter_context(project_nginx([server])) if entry == "nginx" else server
        yield _Stage(server, redis, proxy)
        server.kill()  # agents that hear of nothing would hold up its end


def _measure_one(options: argparse.Namespace, entry: str, attack: str) -> Row:
    with _staged(options, entry) as stage:
        _serve(stage.entry.port, options.clients, 2.0)  # to load what the first requests load
        before = _most_megabytes(stage.server)
        with _attacked(attack, stage.entry.port):
            time.sleep(options.before)
            commands, began_at = count_commands(stage.redis), time.monotonic()
            with _memory(stage.server) as seen:
                took, failed = _serve(stage.entry.port, options.clients, options.seconds)
            seconds = time.monotonic() - began_at
            commands = count_commands(stage.redis) - commands
        hundredths = statistics.quantiles([*took, *took[-1:]] or [0.0, 0.0], n=100)
    return {
        "server": "host",
        "attack": attack,
        "entry": entry,
        "mb_before": before,
        "mb_most": max([before, *seen]),
        "per_second": len(took) / seconds,
        "p50_ms": hundredths[49],
        "p99_ms": hundredths[98],
        "failed": len(failed),
        "faults": ", ".join(f"{count} {name}" for name, count in Counter(failed).items()),
        "redis_per_second": commands / seconds,
    }


@contextmanager
def _attacked(attack: str, port: int) -> Iterator[None]:
    """Attack from a process of its own for the length of the block."""
    if attack == QUIET:
        yield
        return
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=run, args=(attack, port, started), daemon=True)
    process.start()
    try:
        if not started.wait(30):
            raise TimeoutError(attack)
        yield
    finally:
        process.kill()
        process.join(10)


def _serve(port: int, clients: int, seconds: float) -> tuple[list[float], list[str]]:
    """Have the second tenant ask, one turn after the other; how long each took, and what failed."""
    took: list[float] = []
    failed: list[str] = []
    ends_at = time.monotonic() + seconds

    def ask() -> None:
        client = Client(_Entry(port), VICTIM)  # type: ignore[arg-type] # it asks for no more of one
        body = {"message": "hi", "metadata": {"steps": [{"text": "x"}]}}
        while time.monotonic() < ends_at:
            asked_at = time.monotonic()
            path = f"/chat/{new_session()}"
            try:
                answer = client.call(
                    "POST", path, body, headers=WANTS_JSON, seconds=PATIENCE_SECONDS
                )
            except OSError as error:
                failed.append(type(error).__name__)
                continue
            if answer.status == 200:  # noqa: PLR2004 - OK
                took.append((time.monotonic() - asked_at) * 1000)
            else:
                failed.append(f"{answer.status} {answer.json['code']}")

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 2 * PATIENCE_SECONDS)
    return took, failed


class _Entry(NamedTuple):
    """What a client needs to know of a server."""

    port: int


@contextmanager
def _memory(server: Gunicorn) -> Iterator[list[float]]:
    """What the largest worker holds, again and again."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            seen.append(_most_megabytes(server))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(10)


def _most_megabytes(server: Gunicorn) -> float:
    """What the largest worker has in memory now."""
    found = [0.0]
    for pid in server.worker_pids():
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue  # it has just gone
        found.append(pages * 4096 / 1e6)
    return max(found)


ATTACKED: Final = Work(
    add_arguments, measure, table, "what a second tenant is served while one attacks"
)
