"""The two C programs of the bench, made again for each run, and the machine that all runs share."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.processes import child_pids, free_port, started

SOURCES: Final = Path(__file__).parent
TICKS: Final = os.sysconf("SC_CLK_TCK")
#: A machine is quiet if it has used no more than this over so long a time.
QUIET_CORES: Final = 0.15
QUIET_FOR_SECONDS: Final = 1.0
WARM_UP_STREAMS: Final = 30
WARM_UP_SECONDS: Final = 1.5
ENDLESS_SECONDS: Final = 86_400.0


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

    def load(
        self, at: Target, plan: Plan, begin: Callable[[], None] = lambda: None
    ) -> Iterator[Load]:
        """Open streams and read them, step by step; ``begin`` is called when a counting begins."""
        with self._started_load(at, plan) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe; tells the type checker
            for _ in plan.steps:
                process.stdout.readline()
                begin()
                yield Load(**json.loads(process.stdout.readline() or "{}"))
        if process.returncode:
            raise RuntimeError(f"the load generator ended with {process.returncode}")

    @contextmanager
    def background(self, at: Target, streams: int) -> Iterator[None]:
        """Keep streams open for the length of the block."""
        with self._started_load(at, Plan([streams], ENDLESS_SECONDS)) as process:
            assert process.stdout is not None  # noqa: S101 - as above
            process.stdout.readline()
            yield
            process.kill()

    def warm_up(self, at: Target) -> None:
        """Let a server load what it loads on first use."""
        list(self.load(at, Plan([WARM_UP_STREAMS], WARM_UP_SECONDS, per_second=0)))

    @contextmanager
    def _started_load(self, at: Target, plan: Plan) -> Iterator[subprocess.Popen[str]]:
        command = [
            str(self._folder / "load"),
            str(at.port),
            at.path,
            ",".join(map(str, plan.steps)),
        ]
        seconds = (plan.patience_seconds, plan.warm_seconds, plan.window_seconds)
        command += map(str, (plan.per_second, *seconds, at.turns, int(plan.again)))
        command += [at.body, *at.headers]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise


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
    """What the load generator posts; ``%d`` in the path is the stream's number.

    With ``turns`` only so many are posted, and all further streams are readers of these.
    """

    port: int
    path: str
    body: str
    headers: Sequence[str] = ()
    turns: int = 0


class Plan(NamedTuple):
    """How many streams in each step; each is opened, settles, and is counted."""

    steps: Sequence[int]
    window_seconds: float
    warm_seconds: float = 0.0
    #: How fast streams are opened; 0 is all at once.
    per_second: float = 300.0
    #: How long a step waits for the first token of each stream.
    patience_seconds: float = 0.0
    #: Whether who has read a stream to its end opens the next.
    again: bool = False

    @property
    def seconds(self) -> float:
        """From the first stream to the last token."""
        opening = max(self.steps) / self.per_second if self.per_second else 0.0
        return opening + len(self.steps) * (self.warm_seconds + self.window_seconds)


class Load(NamedTuple):
    """What the load generator counted; tokens, latencies and its own CPU time in the window.

    ``silent`` is the number of streams that got no token in the window, ``ended`` of those that
    came to a regular end, ``closed`` of those that were cut. ``first_…`` is the time from a
    stream's opening, for those of the step alone; ``last_end_ms`` from a step's first request to
    the last regular end, -1 without one.
    """

    streams: int = 0
    seconds: float = 0.0
    tokens: int = 0
    silent: int = 0
    lost: int = 0
    refused: int = 0
    ended: int = 0
    ended_in_window: int = 0
    closed: int = 0
    failed: int = 0
    first_byte_p50_ms: float = 0.0
    first_byte_p99_ms: float = 0.0
    first_byte_max_ms: float = 0.0
    first_token_p50_ms: float = 0.0
    first_token_p99_ms: float = 0.0
    first_token_max_ms: float = 0.0
    last_end_ms: float = -1.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    cpu_seconds: float = 0.0
    refusal: str = ""

    def fault(self, *, may_end: bool = False) -> str:
        """Why this cannot be counted as what was asked for; empty if it can."""
        names = ("lost", "refused", "closed", "failed") + (() if may_end else ("ended",))
        wrong = [f"{getattr(self, name)} {name}" for name in names if getattr(self, name)]
        return f"{', '.join(wrong)} {self.refusal}".strip() if wrong else ""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its descendants so far."""
    return _own_cpu_seconds(pid) + sum(cpu_seconds(child) for child in child_pids(pid))


def machine_cpu_seconds() -> float:
    """CPU time of all that has run on this machine so far."""
    user, nice, system, _idle, _wait, irq, softirq = map(int, _machine_line()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def _machine_line() -> list[str]:
    with Path("/proc/stat").open() as stat:
        return stat.readline().split()


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


def memory_bytes(pid: int) -> int:
    """Memory of a process and all its descendants, what they share counted once."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(own.split()[1]) * 1024 + sum(memory_bytes(child) for child in child_pids(pid))


def stack_bytes(pid: int) -> int:
    """What threads have touched of their stacks, in a process and all its descendants.

    A stack is told by its size: the system's limit, which the threads of pthreads get.
    """
    limit_kb = resource.getrlimit(resource.RLIMIT_STACK)[0] // 1024
    own_kb, size_kb = 0, 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if line.startswith("Size:"):
            size_kb = int(line.split()[1])
        elif line.startswith("Pss:") and size_kb == limit_kb:
            own_kb += int(line.split()[1])
    return own_kb * 1024 + sum(stack_bytes(child) for child in child_pids(pid))
