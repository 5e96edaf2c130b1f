"""``python -m bench WORK [options]``: measures, prints a table, and keeps the figures as JSON."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench import report, tokens
from bench.programs import Programs

LATEST: Final = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    """Run what the command line asks for; 1 if a number is not what it claims to be."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    works = parser.add_subparsers(dest="work", required=True)
    work = works.add_parser(
        "tokens",
        help=tokens.__doc__,
        description=tokens.__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    tokens.add_arguments(work)
    work.add_argument("--output", type=Path, default=LATEST, help="where the figures go")
    options = parser.parse_args()
    # Each stream is a file or two in every program; they inherit this.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        ceilings, runs = tokens.measure(options, Programs(Path(folder)), _tell)
    report.save(options.output, {**vars(options), "output": options.output.name}, ceilings, runs)
    faults = report.faults([*ceilings, *runs])
    _tell(
        "\n".join(
            ["", report.ceilings(ceilings), "", report.table(runs), *faults, report.disturbed(runs)]
        )
    )
    return 1 if faults else 0


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
