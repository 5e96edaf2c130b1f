"""Runs the suite's core in environments of other versions, and writes down what came of it.

    python -m tests.matrix [NAME…]

Without a name all rows of environments.toml; a name may be the beginning of several rows'
(``flask``).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final

from tests.matrix.environment import FOLDER, CannotMake, make, versions
from tests.matrix.rows import Matrix, Row, find_python, load_matrix
from tests.matrix.run import run_tests
from tests.matrix.table import ENVIRONMENTS, Result, render, write_down

RUN_SECONDS: Final = 900


def main(arguments: Sequence[str]) -> int:
    """Run the rows; the exit status is 1 if a test failed, or a row has no Python."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    asked = parser.parse_args(arguments)
    matrix = load_matrix()
    names = tuple(asked.names) or ("",)
    rows = [row for row in matrix.environments if row.name.startswith(names)]
    if not rows:
        parser.error("no row of environments.toml has this name")
    order = [row.name for row in matrix.environments]
    results = []
    for row in rows:
        result = run_row(row, matrix, matrix.tests.selection)
        results.append(result)
        print(f"{result.name}: {result.outcome}, {result.seconds:.0f} s", flush=True)
        write_down(ENVIRONMENTS, result, order)
    print(render(ENVIRONMENTS, [result.cells(ENVIRONMENTS) for result in results]))
    return 0 if all(result.passed for result in results) else 1


def run_row(row: Row, matrix: Matrix, tests: Sequence[str], *options: str) -> Result:
    """Run these tests, or the row's own, in the row's environment; ``options`` are pytest's."""
    python = find_python(row.python)
    if python is None:
        return Result(row.name, {}, f"no Python {row.python} here", 0, passed=False)
    began = time.monotonic()
    try:
        interpreter = make(row, python, matrix.tests.packages)
    except CannotMake as error:
        print(error, file=sys.stderr)
        return Result(row.name, {}, "not resolved", time.monotonic() - began, passed=False)
    chosen = row.tests or tests
    arguments = [*options, "-o", f"filterwarnings={row.warnings}"]
    arguments += [path for path in chosen if path not in row.without]
    arguments += [f"--deselect={test}" for test in row.without if "::" in test]
    run = run_tests(interpreter, arguments, FOLDER / f"{row.name}.log", RUN_SECONDS)
    seconds = time.monotonic() - began
    return Result(row.name, versions(interpreter), run.outcome, seconds, passed=run.passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
