"""Where a worker's time goes: which part of the code holds the interpreter."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from bench.programs import Plan, Programs
from bench.report import markdown
from bench.servers import PARKED, PEERS
from bench.stage import Setup, Stage, staged
from bench.works import Row, Tell, Work

SAMPLES_PER_SECOND: Final = 200
START_SECONDS: Final = 2.0
PROVIDER: Final = "reading the provider: openai, httpx, aiohttp"
OTHER: Final = "other"
#: A sample counts for the innermost frame that is in one of these; each with parts of its path.
PARTS: Final = (
    (PROVIDER, ("-packages/openai/", "/httpx", "/aiohttp/", "agents/openai_client.py")),
    ("Redis, with its client", ("/redis/", "wsgi_app/store/")),
    ("the journal", ("engine/worker/journal.py", "engine/worker/heartbeat.py")),
    ("the agent: events of the provider, steps, tools", ("wsgi_app/agents/",)),
    ("the agent under measurement", ("bench/servers/",)),
    ("delivery: frames, sockets", ("wsgi_app/delivery/", "wsgi_app/frames/", "wsgi_app/wires/")),
    ("the engine", ("wsgi_app/engine/", "wsgi_app/events.py", "wsgi_app/metrics/")),
    ("the request: Flask, the routes", ("/flask/", "/werkzeug/", "wsgi_app/")),
    ("gunicorn", ("/gunicorn/",)),
    ("asyncio's loop", ("/asyncio/",)),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add(
        "--cases",
        default=f"{PARKED}:openai:300:20,{PARKED}:openai:1200:20,host:paced:800:20,"
        f"{PARKED}:openai:5000:10000",
        help="server:agent:streams:milliseconds per token, on two workers",
    )
    add("--seconds", type=float, default=8.0, help="of looking")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Look at one worker of each case."""
    rows = []
    for case in options.cases.split(","):
        server, agent, streams, pace_ms = case.split(":")
        setup = Setup(server, int(streams), agent, 2, float(pace_ms))
        tell(case)
        with staged(programs, setup) as stage:
            rows.append({"case": case, "server": server, **_look(stage, options.seconds)})
    return rows


def table(rows: list[Row]) -> str:
    """Each case's shares in Markdown, the largest first."""
    lines = [
        (_title(row), part, f"{share:.0%}") for row in rows for part, share in row["shares"].items()
    ]
    return markdown(("case", "who holds the interpreter", "of the samples"), lines)


def part_of(stack: str) -> str:
    """The part of a folded stack, ``outermost (path:line);…;innermost (path:line)``."""
    for frame in reversed(stack.split(";")):
        for part, paths in PARTS:
            if any(path in frame for path in paths):
                return part
    return OTHER


def _title(row: Row) -> str:
    server, agent, streams, pace_ms = row["case"].split(":")
    return f"{PEERS[server].label}, {agent}, {streams} streams at {pace_ms} ms"


def _look(stage: Stage, seconds: float) -> Row:
    plan = Plan([stage.setup.streams], seconds + 2 * START_SECONDS, START_SECONDS)
    shares: dict[str, float] = {}
    load = next(
        iter(
            stage.programs.load(
                stage.target(), plan, lambda: shares.update(_sample(stage, seconds))
            )
        )
    )
    return {"shares": shares, "fault": load.fault(), **load._asdict()}


def _sample(stage: Stage, seconds: float) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("r") as folded:
        subprocess.run(
            [
                *(str(Path(sys.executable).with_name("py-spy")), "record"),
                *("--gil", "--nonblocking", "--full-filenames", "--format", "raw"),
                *("--rate", str(SAMPLES_PER_SECOND), "--duration", f"{seconds:.0f}"),
                *("--pid", str(stage.workers()[0]), "--output", folded.name),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        counts: Counter[str] = Counter()
        for line in folded:
            stack, _, samples = line.rpartition(" ")
            counts[part_of(stack)] += int(samples)
    return {part: samples / counts.total() for part, samples in counts.most_common()}


PROFILE: Final = Work(add_arguments, measure, table, "where a worker's time goes, by parts")
