"""The files of a release, in `dist/`; `make release` builds them and tries them out.

Each test begins in an empty folder, with an environment that holds nothing of this checkout.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import requests

from tests.support.processes import ROOT, clean_environment, free_port, started
from tests.support.servers import answers_http
from wsgi_app import __version__
from wsgi_app.auth import DEVELOPMENT_TOKEN

UV: Final = str(Path(sys.executable).with_name("uv"))
DIST: Final = ROOT / "dist"
#: Reads a README as the package index does; 6.2 does not know the metadata that hatchling writes.
TWINE: Final = "twine==7.0.0"
START_SECONDS: Final = 120.0

pytestmark = [pytest.mark.release, pytest.mark.timeout(600)]


class Release(NamedTuple):
    """The two files."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def release() -> Release:
    """Build both again."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "hatchling", "build", "-d", str(DIST), folder=ROOT)
    stem = f"wsgi_agent_host-{__version__}"
    return Release(DIST / f"{stem}-py3-none-any.whl", DIST / f"{stem}.tar.gz")


def run(*command: str, folder: Path) -> str:
    """What a command prints; fails with all of it."""
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_changelog_begins_with_the_version() -> None:
    """The newest version of the changelog is the package's, and has a date."""
    versions = re.findall(
        r"^## \[(\d[^]]*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert versions
    assert versions[0][0] == __version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", versions[0][1])


def test_the_readme_renders(release: Release, tmp_path: Path) -> None:
    """The package index takes the description of both files as it is."""
    files = [str(path) for path in release]
    run(UV, "tool", "run", "--from", TWINE, "twine", "check", "--strict", *files, folder=tmp_path)


def test_the_wheel_alone_serves(release: Release, tmp_path: Path) -> None:
    """`uvx` with the wheel, in an empty folder, streams an answer."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [UV, "tool", "run", "--isolated", "--from", f"{release.wheel}[standalone]"]
    environment = {"HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache")}
    with started(
        [*command, "wsgi-agent-host", "serve", "--bind", address],
        cwd=tmp_path,
        env=environment,
    ) as server:
        server.wait_until(lambda: answers_http(port), START_SECONDS)
        answer = requests.post(
            f"http://{address}/chat/first",
            json={"message": "what is 12*34?"},
            headers={"Authorization": f"Bearer {DEVELOPMENT_TOKEN}"},
            timeout=30,
        )
    assert answer.status_code == 200, answer.text
    assert "408" in answer.text
    assert "event: done" in answer.text or '"type":"done"' in answer.text


def test_the_sdist_installs(release: Release, tmp_path: Path) -> None:
    """The sdist builds in an empty environment, and gives the same package as the wheel."""
    run(UV, "venv", "--python", sys.executable, "there", folder=tmp_path)
    python = str(tmp_path / "there/bin/python")
    run(UV, "pip", "install", "--python", python, str(release.sdist), folder=tmp_path)
    version = run(python, "-c", "import wsgi_app; print(wsgi_app.__version__)", folder=tmp_path)
    assert version.strip() == __version__
