"""Clients written in JavaScript, at the versions that tests/clients/package-lock.json names.

Their scripts lie beside it. A script gets its arguments as one JSON object and prints JSON lines.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.support.processes import ROOT, clean_environment, find_program

CLIENTS: Final = ROOT / "tests" / "clients"
INSTALL_SECONDS: Final = 300
_MODULES: Final = CLIENTS / "node_modules"
_SETTINGS: Final = {
    "COPILOTKIT_TELEMETRY_DISABLED": "true",
    "NODE_COMPILE_CACHE": str(_MODULES / ".compiled"),  # halves a script's start
}


def run_node(script: str, seconds: float = 60, **arguments: Any) -> list[dict[str, Any]]:
    """Run a script of tests/clients to its end; returns what it printed.

    Fails with all its output unless it ends well within ``seconds``.
    """
    try:
        done = subprocess.run(
            [str(node_program()), str(CLIENTS / script), json.dumps(arguments)],
            env={**clean_environment(), **_SETTINGS},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{script} goes on after {seconds} s:\n{late.output}") from late
    assert done.returncode == 0, f"{script} failed:\n{done.stdout}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def node_program() -> Path:
    """The locked node, installed with the clients if they are not there yet."""
    install_packages(CLIENTS)
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return _MODULES / f"node-linux-{machine}" / "bin" / "node"


def install_packages(folder: Path) -> None:
    """Install what a folder's lock file names; runs of tests at the same time wait for the first.

    The folder's node_modules holds the digest of what is installed.
    """
    lock_file = folder / "package-lock.json"
    stamp = folder / "node_modules" / ".installed"
    wanted = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    if _is_installed(stamp, wanted):
        return
    npm = find_program("npm", "npm")
    with lock_file.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_installed(stamp, wanted):
            return
        try:
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"npm ci takes longer than {INSTALL_SECONDS} s") from late
        assert done.returncode == 0, f"npm ci failed in {folder}:\n{done.stderr}"
        stamp.write_text(wanted)


def _is_installed(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted


if __name__ == "__main__":
    install_packages(CLIENTS)  # before the tests, whose time limits are shorter
