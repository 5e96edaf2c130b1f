"""``python -m bench WORK [options]``: measures, prints tables, keeps the figures as JSON.

``all`` measures all of them, each with its own defaults.
``show`` prints the tables of kept figures once more.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench import plot, report
from bench.programs import Programs
from bench.works import Work
from bench.works.affinity import AFFINITY
from bench.works.attacks import ATTACKED
from bench.works.budget import BUDGET
from bench.works.crowd import CROWD
from bench.works.growth import GROWTH
from bench.works.memory import MEMORY
from bench.works.model import MODEL
from bench.works.page import PAGE
from bench.works.profile import PROFILE
from bench.works.reactions import REACTED
from bench.works.starts import STARTS
from bench.works.tokens import GENERATOR, GEVENT_WORKERS, JOURNAL, TOKENS
from bench.works.turns import TURNS

LATEST: Final = Path(__file__).parent / "results" / "latest.json"
WORKS: Final[Mapping[str, Work]] = {
    "tokens": TOKENS,
    "generator": GENERATOR,
    "memory": MEMORY,
    "starts": STARTS,
    "reactions": REACTED,
    "journal": JOURNAL,
    "gevent": GEVENT_WORKERS,
    "growth": GROWTH,
    "page": PAGE,
    "budget": BUDGET,
    "crowd": CROWD,
    "profile": PROFILE,
    "attacks": ATTACKED,
    "turns": TURNS,
    "affinity": AFFINITY,
    "model": MODEL,
}
ALL: Final = "all"
SHOW: Final = "show"


def main() -> int:
    """Run what the command line asks for; 1 if a number is not what it claims to be."""
    options = _parser().parse_args()
    if options.work == SHOW:
        _show(json.loads(options.output.read_text()))
        return 0
    # Each stream is a file or two in every program; they inherit this.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    result = report.new_report()
    names = [*WORKS] if options.work == ALL else [options.work]
    with tempfile.TemporaryDirectory() as folder:
        programs = Programs(Path(folder))
        for name in names:
            used = _defaults(name) if options.work == ALL else options
            started_at = time.monotonic()
            _tell(f"\n{name}: {WORKS[name].help}")
            rows = WORKS[name].measure(used, programs, _tell)
            seconds = round(time.monotonic() - started_at)
            result["works"][name] = {"options": _kept(used), "seconds": seconds, "rows": rows}
            report.save(options.output, result)
    plot.save(options.output.with_suffix(".svg"), result["works"])
    _show(result)
    return 1 if any(report.faults(work["rows"]) for work in result["works"].values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    works = parser.add_subparsers(dest="work", required=True)
    texts = {name: work.help for name, work in WORKS.items()}
    for name, text in {**texts, ALL: "each of these", SHOW: "the tables of kept figures"}.items():
        work = works.add_parser(
            name,
            help=text,
            description=text,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        if name in WORKS:
            WORKS[name].add_arguments(work)
        work.add_argument("--output", type=Path, default=LATEST, help="where the figures are")
    return parser


def _defaults(name: str) -> argparse.Namespace:
    return _parser().parse_args([name])


def _kept(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name not in {"work", "output"}}


def _show(result: dict[str, Any]) -> None:
    for name, work in result["works"].items():
        _tell(f"\n### {name}: {WORKS[name].help} ({work['seconds']} s)\n")
        rows = work["rows"]
        _tell(
            "\n".join([WORKS[name].table(rows), "", *report.faults(rows), *report.disturbed(rows)])
        )


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
