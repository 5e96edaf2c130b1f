"""Learns the facts of a set-up, by a child process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from wsgi_app.cli.doctor.facts import SetUp

#: A monolith may take a while to import.
LOAD_SECONDS: Final = 120.0


class CannotTellError(Exception):
    """The set-up cannot be read; the message says why."""


def read_set_up(default_app: str, arguments: Sequence[str]) -> SetUp:
    """Read gunicorn's configuration and the app, as gunicorn with these arguments would.

    Raises CannotTellError.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "facts.json"
        command = [sys.executable, "-m", "wsgi_app.cli.doctor.child", str(output), default_app]
        try:
            done = subprocess.run(  # noqa: S603 - the program is ours, the arguments the caller's
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LOAD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CannotTellError(f"the app was not loaded within {LOAD_SECONDS:g} s") from None
        if not output.exists():
            raise CannotTellError(_last_line(done.stderr or done.stdout))
        return msgspec.json.decode(output.read_bytes(), type=SetUp)


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "gunicorn's configuration cannot be read"
