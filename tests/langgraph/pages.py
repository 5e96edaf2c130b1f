"""Pages that Vite builds, with packages that npm installs at first need."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.node import install_packages, node_program
from tests.support.processes import clean_environment


def build_page(source: Path, made: Path) -> Path:
    """Build a folder's page into another one, and return that."""
    install_packages(source)
    program = source / "node_modules" / "vite" / "bin" / "vite.js"
    done = subprocess.run(
        [str(node_program()), str(program), "build", "--outDir", str(made), "--emptyOutDir"],
        cwd=source,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return made
