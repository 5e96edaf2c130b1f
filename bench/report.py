"""From figures to tables, and to a file that keeps everything."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
import timeit
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    *("aiohttp", "fastapi", "flask", "gunicorn", "gunicorn_h1c"),
    *("openai", "redis", "uvicorn"),
)
DISTURBING_CORES: Final = 0.2
_LOOP: Final = "for i in range(300_000): dict(a=i)['a'], str(i)"

Rows = Sequence[dict[str, Any]]


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def median(rows: Rows, name: str) -> float:
    """The median of one figure."""
    return statistics.median(float(row[name]) for row in rows)


def names_in(rows: Rows, name: str) -> list[str]:
    """The different values of one column, in their first order."""
    return list(dict.fromkeys(row[name] for row in rows))


def numbers_in(rows: Rows, name: str) -> list[int]:
    """The different values of one column, the lowest first."""
    return sorted({row[name] for row in rows})


def disturbed(rows: Rows) -> list[str]:
    """Tell of runs beside which something else was at work; empty if there are none.

    It takes more from a server of two processes than from one of hundreds of threads.
    """
    count = sum(row.get("other_cpu", 0) > DISTURBING_CORES for row in rows)
    if not count:
        return []
    return [f"In {count} of {len(rows)} runs others here used over {DISTURBING_CORES} cores."]


def faults(rows: Rows) -> list[str]:
    """What went wrong: numbers of such runs are not what they claim to be."""
    return [
        f"FAULT: {row['server']}, {row.get('streams', '')} streams: {row['fault']}"
        for row in rows
        if row.get("fault")
    ]


def new_report() -> dict[str, Any]:
    """The head of a file of figures: when, and on what."""
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "python_loop_ms": _python_loop_ms(),
            "packages": {name: _version(name) for name in PACKAGES},
        },
        "works": {},
    }


def save(path: Path, report: dict[str, Any]) -> None:
    """Write everything as JSON, a run on a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    works = []
    for name, work in report["works"].items():
        rows = ",\n".join(f"   {json.dumps(_rounded(row))}" for row in work["rows"])
        head = json.dumps({key: value for key, value in work.items() if key != "rows"})
        works.append(f'  {json.dumps(name)}: {head[:-1]}, "rows": [\n{rows}\n  ]}}')
    head = json.dumps({key: value for key, value in report.items() if key != "works"})
    path.write_text(f'{head[:-1]}, "works": {{\n' + ",\n".join(works) + "\n}}\n")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(v, 3) if isinstance(v, float) else v for name, v in row.items()}


def _python_loop_ms() -> float:
    """CPU time of a fixed loop, the quickest of five: builds of one version differ by a fifth."""
    return round(min(timeit.repeat(_LOOP, number=1, repeat=5, timer=time.process_time)) * 1000, 1)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
