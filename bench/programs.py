"""The two C programs of the bench, made anew for each run, and the machine that all runs share."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.processes import child_pids, free_port, started

SOURCES: Final = Path(__file__).parent
TICKS: Final = os.sysconf("SC_CLK_TCK")
#: A machine is quiet if it has used no more than this over so long a time.
QUIET_CORES: Final = 0.15
QUIET_FOR_SECONDS: Final = 2.0
#: How long a program may take beyond what it was asked for.
PATIENCE_SECONDS: Final = 60.0


class Programs:
    """The compiled load generator and upstream, in a folder of the caller's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("upstream", "load"):
            source, program = SOURCES / f"{name}.c", folder / name
            subprocess.run(["cc", "-O2", "-o", program, source], check=True)

    @contextmanager
    def upstream(self, pace_ms: float) -> Iterator[Upstream]:
        """Run a model provider that writes a token every ``pace_ms`` on each connection."""
        port = free_port()
        command = [str(self._folder / "upstream"), str(port), str(pace_ms)]
        with started(command) as process:
            upstream = Upstream(process.pid, port)
            process.wait_until(upstream.answers)
            yield upstream
            process.kill()

    def load(self, at: Target, streams: int, timing: Timing, begin: Callable[[], None]) -> Load:
        """Open streams and read them; ``begin`` is called when the counting begins."""
        seconds = (timing.ramp_seconds, timing.warm_seconds, timing.window_seconds)
        command = [str(self._folder / "load"), str(at.port), at.path, str(streams)]
        command += [*map(str, seconds), at.body, *at.headers]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe; tells the type checker
            process.stdout.readline()
            begin()
            output, _ = process.communicate(timeout=timing.window_seconds + PATIENCE_SECONDS)
        if process.returncode:
            raise RuntimeError(f"the load generator ended with {process.returncode}")
        return Load(**json.loads(output))

    def warm_up(self, at: Target, streams: int, seconds: float) -> None:
        """Let a server load what it loads on first use."""
        self.load(at, streams, Timing(0.0, 0.0, seconds), lambda: None)


class Upstream(NamedTuple):
    """A model provider that runs."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL takes."""
        return f"http://127.0.0.1:{self.port}/v1"

    def take_stats(self) -> dict[str, Any]:
        """What it has sent since this was last called, and how late."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=30) as answer:
            stats: dict[str, Any] = json.load(answer)
            return stats

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            self.take_stats()
        except OSError:
            return False
        return True


class Target(NamedTuple):
    """What the load generator posts; ``%d`` in the path is the stream's number."""

    port: int
    path: str
    body: str
    headers: Sequence[str] = ()


class Timing(NamedTuple):
    """Opening the streams, letting things settle, counting."""

    ramp_seconds: float
    warm_seconds: float
    window_seconds: float

    @property
    def total_seconds(self) -> float:
        """From the first stream to the last token."""
        return self.ramp_seconds + self.warm_seconds + self.window_seconds


class Load(NamedTuple):
    """What the load generator counted; tokens, latencies and its own CPU time in the window.

    ``silent`` is the number of streams that got no token in the window.
    """

    seconds: float
    tokens: int
    all_tokens: int
    silent: int
    lost: int
    refused: int
    closed: int
    failed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    cpu_seconds: float
    refusal: str

    @property
    def fault(self) -> str:
        """Why this cannot be counted as what was asked for; empty if it can."""
        names = ("lost", "refused", "closed", "failed")
        wrong = [f"{getattr(self, name)} {name}" for name in names if getattr(self, name)]
        return f"{', '.join(wrong)} {self.refusal}" if wrong else ""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its descendants so far."""
    return _own_cpu_seconds(pid) + sum(cpu_seconds(child) for child in child_pids(pid))


def machine_cpu_seconds() -> float:
    """CPU time of all processes of this machine so far."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            total += _own_cpu_seconds(int(folder.name))
    return total


def wait_quiet(patience_seconds: float) -> None:
    """Wait until nothing else is at work on this machine, but no longer than so."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        before = machine_cpu_seconds()
        time.sleep(QUIET_FOR_SECONDS)
        if machine_cpu_seconds() - before < QUIET_CORES * QUIET_FOR_SECONDS:
            return


def _own_cpu_seconds(pid: int) -> float:
    """Of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS
