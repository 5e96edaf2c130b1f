"""Whether the package resolves beside the pins of real applications; see resolve.py."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sites.resolve import Application, applications, resolve
from tests.support.processes import ROOT


def resolved(requirements: str, python: str, *sources: str) -> set[str]:
    """The names of the packages that uv would install."""
    compiling = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
    shown = ["--no-header", "--no-annotate", "--python-version", python]
    done = subprocess.run(
        [*compiling, *shown, "-", *sources],
        cwd=ROOT,
        input=requirements,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line.partition("==")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize(
    "python",
    [
        "3.9",
        pytest.param("3.11", marks=pytest.mark.slow),
        pytest.param("3.13", marks=pytest.mark.slow),
    ],
)
def test_core_brings_few_packages(python: str) -> None:
    """A bare installation into a Flask 2.0 site adds six packages at most, itself among them."""
    site = "flask==2.0.3\nwerkzeug==2.0.3"
    with ThreadPoolExecutor() as pool:
        before = pool.submit(resolved, site, python)
        new = resolved(site, python, "pyproject.toml") - before.result()
    assert {"redis", "msgspec"} <= new
    assert len(new) + 1 <= 6, sorted(new)


@pytest.mark.sites
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("application", applications(), ids=lambda one: one.name)
def test_core_fits_beside(application: Application) -> None:
    """The core fits beside each application but those on Flask 1.x or Python 3.8."""
    outcome = resolve(application)
    assert outcome.as_expected, outcome.conflict
