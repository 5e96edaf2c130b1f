"""A model server or gateway on a port of its own, which can be killed and started again."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, Process, clean_environment, free_port, started

HERE = Path(__file__).parent
START_SECONDS = 240.0


class Program:
    """One program that serves HTTP at ``url``. Used by one thread."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        ready_path: str = "/health",
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._env = env
        self._ready_path = ready_path
        self._running = ExitStack()
        self.process: Process

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.process = self._running.enter_context(started(self._command, env=self._env, cwd=ROOT))
        self.process.wait_until(self._is_ready, START_SECONDS)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self._running.close()

    def get(self, path: str) -> Any:
        """Read one of its JSON documents."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:  # noqa: S310 - a server of ours
            return json.load(answer)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self._ready_path, timeout=30):  # noqa: S310 - a server of ours
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def running(program: Program) -> Iterator[Program]:
    """Run a program for the length of the block."""
    program.start()
    try:
        yield program
    finally:
        program.kill()


class ModelServer:
    """What the tests ask of a model server, or of one behind a gateway.

    ``base_url`` is what OPENAI_BASE_URL takes, ``model`` the model's name there, ``headers`` what
    each request must say. ``count_busy`` returns how many requests the model of ``program`` works
    on, by the server's own word.
    """

    def __init__(
        self,
        program: Program,
        count_busy: Callable[[Program], int],
        *,
        model: str = "scripted",
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.program = program
        self.base_url = base_url or f"{program.url}/v1"
        self.model = model
        self.headers = dict(headers or {})
        self._count_busy = count_busy

    def behind(
        self, gateway: Program, path: str = "/v1", headers: Mapping[str, str] | None = None
    ) -> ModelServer:
        """The same, asked through a gateway."""
        url = gateway.url + path
        return ModelServer(self.program, self._count_busy, base_url=url, headers=headers)

    def busy(self) -> int:
        """How many requests its model works on."""
        return self._count_busy(self.program)


def run_once(command: Sequence[str]) -> None:
    """Run a script to its end; raises AssertionError with its output if it fails."""
    done = subprocess.run(
        command,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
