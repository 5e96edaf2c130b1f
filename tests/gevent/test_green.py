"""Event loops that share a thread by gevent."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.processes import ROOT, clean_environment


def test_each_loop_of_a_thread_is_the_only_one_to_its_tasks() -> None:
    """Loops run at the same time, blocking tasks find their own again, others see none."""
    program = [sys.executable, "-m", "tests.support.green_program"]
    done = subprocess.run(
        program,
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"seen": [True] * 20, "none_here": True}
