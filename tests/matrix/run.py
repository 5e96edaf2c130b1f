"""One run of pytest, as a line of a table tells of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.processes import ROOT, clean_environment

PYTEST: Final = ("-q", "-n", "2", "-p", "no:cacheprovider")
_CLOSING: Final = re.compile(r"^=* ?((?:\d+ \w+(?:, )?)+) in [\d.]+s", re.MULTILINE)


class Run(NamedTuple):
    """How it ended: pytest's own words, and whether all passed."""

    outcome: str
    passed: bool


def run_tests(
    interpreter: Path | str,
    arguments: Sequence[str],
    log: Path,
    seconds: float,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Run tests with their output in ``log``; what failed is printed too."""
    command = [interpreter, "-m", "pytest", *PYTEST, *arguments]
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=clean_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            return Run(f"not done after {seconds:.0f} s", passed=False)
    text = log.read_text(encoding="utf-8", errors="replace")
    closing = _CLOSING.findall(text)
    if done.returncode:
        print(text[-5000:], file=sys.stderr)
    return Run(closing[-1] if closing else "no test ran", passed=not done.returncode)
