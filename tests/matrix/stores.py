"""Runs the store's tests, and some across workers, on real servers of Redis' kind.

    python -m tests.matrix.stores [NAME…]

Without a name on all of them: the ``redis-server`` on PATH, and those that scripts/store-servers
fetches. The table is in docs/stores.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.matrix.run import run_tests
from tests.matrix.table import STORES, Result, render, write_down
from tests.support.processes import ROOT, find_program

FOLDER: Final = ROOT / ".store-servers"
#: Of the machine, whatever version it has.
INSTALLED: Final = "installed"
#: The end of a row's name whose store talks RESP3, which redis-py 8 would do by itself.
RESP3: Final = "-resp3"
FETCH_SECONDS: Final = 900
RUN_SECONDS: Final = 3600
#: All on one server, on a cluster what signals and places of several sessions decide, and the sets;
#: not the same once more at length, nor what looks at a clock.
ON_CLUSTER: Final = "test_queue or test_following"
OTHERS: Final = "[memory or at_length or close_behind"
TESTS: Final = (
    *("-m", "", "-k", f"not ({OTHERS}) and (not [cluster or {ON_CLUSTER})"),
    *("tests/store", "tests/engine/test_across_workers.py", "tests/engine/test_lost_signals.py"),
)


def main(names: Sequence[str]) -> int:
    """Run on each server; the exit status is 1 if a test failed."""
    script = ROOT / "scripts" / "store-servers"
    env = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([script, FOLDER], check=True, timeout=FETCH_SECONDS, env=env)
    servers = {INSTALLED: Path(find_program("redis-server", "redis-server"))}
    servers[f"{INSTALLED}{RESP3}"] = servers[INSTALLED]
    servers |= {path.parent.name: path for path in sorted(FOLDER.glob("*/server"))}
    unknown = set(names) - set(servers)
    if unknown:
        raise SystemExit(f"No server {' '.join(unknown)}; there are {' '.join(servers)}")
    results = []
    for name in names or servers:
        result = _run(name, servers[name])
        results.append(result)
        print(f"{result.name}: {result.outcome}, {result.seconds:.0f} s", flush=True)
        write_down(STORES, result, [*servers])
    print(render(STORES, [result.cells(STORES) for result in results]))
    return 0 if all(result.passed for result in results) else 1


def _run(name: str, program: Path) -> Result:
    began = time.monotonic()
    env = {"TEST_REDIS_SERVER": str(program)}
    if name.endswith(RESP3):
        env["TEST_REDIS_PROTOCOL"] = "3"
    run = run_tests(sys.executable, TESTS, FOLDER / f"{name}.log", RUN_SECONDS, env)
    seconds = time.monotonic() - began
    return Result(name, {"version": _version(program)}, run.outcome, seconds, passed=run.passed)


def _version(program: Path) -> str:
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    words = re.match(r"(\w+) server v=([\w.]+)", done.stdout)
    return f"{words[1]} {words[2]}" if words else done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
