"""Virtual environments of real programs: applications with the host beside their pins, servers."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.processes import ROOT

#: One folder an application; `make clean` removes it.
ENVIRONMENTS: Final = ROOT / ".venv-sites"
INSTALL_SECONDS: Final = 900
_STAMP: Final = "installed"


def environment(
    name: str, requirements: str, python: str = "3.11", *, with_host: bool = True
) -> Path:
    """The environment's folder, made on first use and whenever the requirements change.

    The host comes from this checkout, in place, with what its core needs: whatever the application
    pins stays as it is, or the installation fails and says what collides. ``with_host`` False is
    for programs that run beside it; these come from wheels alone, nothing is compiled.
    """
    folder = ENVIRONMENTS / name
    project = (ROOT / "pyproject.toml").read_bytes() if with_host else b""
    wanted = hashlib.sha256(f"{requirements}{python}".encode() + project).hexdigest()
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # runs at the same time wait for the first
        stamp = folder / _STAMP
        if not stamp.exists() or stamp.read_text() != wanted:
            _make(folder, requirements, python, with_host=with_host)
            stamp.write_text(wanted)
    return folder


def _make(folder: Path, requirements: str, python: str, *, with_host: bool) -> None:
    uv = [sys.executable, "-m", "uv", "--quiet"]
    _run([*uv, "venv", "--clear", "--seed", "--python", python, str(folder)])
    pins = folder / "requirements.txt"
    pins.write_text(requirements)
    into = [*uv, "pip", "install", "--python", str(folder / "bin" / "python")]
    if not with_host:
        _run([*into, "--no-build", "--requirement", str(pins)])
        return
    _run([*into, "--requirement", str(pins)])
    # As a second step, as a site's owner does it: what is there already is a constraint.
    kept = _run([*uv, "pip", "freeze", "--python", str(folder / "bin" / "python")])
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in kept.splitlines() if "==" in line))
    _run([*into, "--constraint", str(constraints), "--editable", str(ROOT)])


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command,
        # Nothing of this machine's uv settings but where its packages come from.
        env={"UV_FIND_LINKS": _wheels(), **os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _wheels() -> str:
    """The folders of wheels that pip looks into besides its index."""
    return ",".join(os.environ.get("PIP_FIND_LINKS", "").split())
