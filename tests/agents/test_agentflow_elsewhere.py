"""The tests of AgentFlow, which needs Python 3.12, for a suite that runs on an older one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment

VERSIONS = ("3.12", "3.13")
#: Kept between runs: what the lock has not changed is not fetched again.
ENVIRONMENT = ROOT / ".venv-agentflow"
SETUP_SECONDS = 1200
TEST_SECONDS = 900


def candidates() -> Iterator[str]:
    """The interpreters that may serve: on the path first, then those of pyenv."""
    for version in VERSIONS:
        found = shutil.which(f"python{version}")
        if found is not None:
            yield found
    for version in VERSIONS:
        yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python3")))


def find_python() -> str:
    """An interpreter that AgentFlow runs on; pyenv's stand-ins for one that is not there fail."""
    for path in candidates():
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    names = ", ".join(VERSIONS)
    pytest.fail(f"AgentFlow's tests need Python {names}: none is on the PATH or in ~/.pyenv")


@pytest.mark.slow
@pytest.mark.timeout(SETUP_SECONDS + TEST_SECONDS)
def test_agentflows_tests_pass_on_a_python_that_it_runs_on() -> None:
    """Their files, run by a Python that AgentFlow can be installed in, passes."""
    subprocess.run(
        ["scripts/virtualenv", str(ENVIRONMENT), "requirements.lock"],
        cwd=ROOT,
        env=clean_environment({"PYTHON": find_python()}),
        check=True,
        timeout=SETUP_SECONDS,
    )
    done = subprocess.run(
        [
            ENVIRONMENT / "bin" / "python",
            "-m",
            "pytest",
            "-m",
            "",
            "tests/agents/agentflow",
            "tests/agents/test_contract.py",
            "-k",
            "agentflow",
        ],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=TEST_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
