"""Python code in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from tests.support.processes import ROOT, clean_environment


def run_python(*arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60) -> str:
    """Run this interpreter with arguments such as ``-c`` and code; returns what it printed.

    Fails with its errors unless it ends with status 0 within ``seconds``.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=clean_environment(env),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
