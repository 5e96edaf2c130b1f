"""One environment: made by uv, kept until its row changes or a day has passed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

import msgspec

from tests.matrix.rows import Row
from tests.support.processes import ROOT, clean_environment

FOLDER: Final = ROOT / ".venv-matrix"
STAMP: Final = "matrix-stamp"
#: So old, what was newest may no longer be.
MAX_AGE_SECONDS: Final = 86_400
MAKE_SECONDS: Final = 600
#: Told in the table, in this order.
TOLD: Final = ("flask", "werkzeug", "gunicorn", "redis", "msgspec", "itsdangerous")
_VERSIONS: Final = f"""
import json, platform
from importlib.metadata import version
print(json.dumps({{"python": platform.python_version(), **{{n: version(n) for n in {TOLD!r}}}}}))
"""


class CannotMake(Exception):  # noqa: N818 - what happened, in words
    """The environment cannot be made: the resolver finds no versions, or a build fails."""


def make(row: Row, python: Path, test_packages: list[str]) -> Path:
    """Return its interpreter; raises CannotMake with uv's words."""
    folder = FOLDER / row.name
    interpreter = folder / "bin" / "python"
    stamp = folder / STAMP
    wanted = _digest(row, python, test_packages)
    is_same = stamp.is_file() and stamp.read_text() == wanted
    if is_same and time.time() - stamp.stat().st_mtime < MAX_AGE_SECONDS:
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--python", str(python), str(folder))
    # Compiled at once, or the first workers of a test would each do it.
    install = ("pip", "install", "--compile-bytecode", "--python", str(interpreter))
    own = f"{ROOT}[{','.join(row.extras)}]" if row.extras else str(ROOT)
    choice = ("--resolution", row.resolution, "--prerelease", row.prerelease)
    _uv(*install, *choice, "--editable", own, *row.packages)
    # By themselves: the lowest versions of these are nobody's.
    _uv(*install, *test_packages)
    stamp.write_text(wanted)
    return interpreter


def versions(interpreter: Path) -> dict[str, str]:
    """What is installed of the packages that the table tells of."""
    done = subprocess.run(
        [interpreter, "-c", _VERSIONS], capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _digest(row: Row, python: Path, test_packages: list[str]) -> str:
    parts = [
        msgspec.json.encode([row, str(python), test_packages]),
        (ROOT / "pyproject.toml").read_bytes(),
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _uv(*arguments: str) -> None:
    program = shutil.which("uv", path=str(ROOT / ".venv" / "bin")) or shutil.which("uv")
    if program is None:
        raise CannotMake("uv is missing: pip install uv")
    done = subprocess.run(
        [program, "--quiet", *arguments],
        cwd=ROOT,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=MAKE_SECONDS,
    )
    if done.returncode:
        raise CannotMake(done.stderr.strip())
