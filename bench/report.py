"""From runs to a table, and to a file that keeps everything."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from bench.measure import Run
from bench.servers import HOST, PEERS

PACKAGES: Final = ("aiohttp", "fastapi", "flask", "gunicorn", "openai", "redis", "uvicorn")
DISTURBING_CORES: Final = 0.2
COLUMNS: Final = (
    "streams",
    "server",
    "tokens/s (lowest to highest)",
    "host / server",
    "p50 ms",
    "p99 ms",
    "CPU µs per token",
)


def table(runs: Sequence[Run]) -> str:
    """The medians over the rounds, in Markdown, with the host's throughput over each server's."""
    cases = _distinct((run.case.streams, run.case.server) for run in runs)
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [_row(runs, streams, name) for streams, name in sorted(cases, key=lambda c: c[0])]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def ceilings(runs: Sequence[Run]) -> str:
    """What the load generator takes straight from the upstream: what limits no server."""
    lines = ["The load generator straight on the upstream:"]
    lines += [
        f"  {run.case.streams} streams, {run.case.server}: {run.per_second:,.0f} tokens/s, "
        f"p50 {run.load.p50_ms:.1f} ms, p99 {run.load.p99_ms:.1f} ms, "
        f"{run.upstream_cpu + run.load_cpu:.2f} cores"
        for run in runs
    ]
    return "\n".join(lines)


def disturbed(runs: Sequence[Run]) -> str:
    """Tell of runs beside which something else was at work; empty if there are none.

    It takes more from a server of two processes than from one of hundreds of threads.
    """
    count = sum(run.other_cpu > DISTURBING_CORES for run in runs)
    if not count:
        return ""
    return (
        f"In {count} of {len(runs)} runs others on this machine used more than "
        f"{DISTURBING_CORES} cores: measure again when it is quiet."
    )


def faults(runs: Iterable[Run]) -> list[str]:
    """What went wrong: numbers of such runs are not what they claim to be."""
    return [
        f"{run.case.server}, {run.case.streams} streams, round {run.case.round}: {run.load.fault}"
        for run in runs
        if run.load.fault
    ]


def save(path: Path, options: dict[str, Any], ceiling_runs: list[Run], runs: list[Run]) -> None:
    """Write everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "options": options,
        "ceilings": [_as_dict(run) for run in ceiling_runs],
        "runs": [_as_dict(run) for run in runs],
    }
    path.write_text(json.dumps(report, indent=1) + "\n")


def _row(runs: Sequence[Run], streams: int, name: str) -> tuple[str, ...]:
    own = [run for run in runs if run.case[:2] == (name, streams)]
    rates = [run.per_second for run in own]
    ratios = _ratios(runs, own)
    ratio = f"{statistics.median(ratios):.2f}" if ratios and name != HOST else ""
    return (
        str(streams),
        PEERS[name].label,
        f"{_median(own, lambda run: run.per_second):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
        ratio,
        f"{_median(own, lambda run: run.load.p50_ms):,.1f}",
        f"{_median(own, lambda run: run.load.p99_ms):,.1f}",
        f"{_median(own, lambda run: run.cpu_us_per_token):,.0f}",
    )


def _ratios(runs: Sequence[Run], own: Sequence[Run]) -> list[float]:
    """The host's throughput over a server's in the same round, and so under like conditions."""
    host = {run.case[1:]: run.per_second for run in runs if run.case.server == HOST}
    at = [(host.get(run.case[1:]), run.per_second) for run in own]
    return [ours / theirs for ours, theirs in at if ours is not None and theirs]


def _median(runs: Iterable[Run], of: Callable[[Run], float]) -> float:
    return statistics.median(map(of, runs))


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _as_dict(run: Run) -> dict[str, Any]:
    values = {**run.case._asdict(), "tokens_per_second": run.per_second, **run._asdict()}
    values["load"] = run.load._asdict()
    del values["case"]
    return {name: round(v, 3) if isinstance(v, float) else v for name, v in values.items()}
