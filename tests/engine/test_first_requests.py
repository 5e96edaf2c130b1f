"""The first requests of a worker, which come at once."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import ROOT, clean_environment


def test_types_are_known_before_threads_use_them() -> None:
    """Many threads that each decode a type first do not end the process.

    Without what a mount prepares, it ends by a segmentation fault each time.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.first_decodes"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 100
