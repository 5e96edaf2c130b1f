"""Programs that a test starts: their environment, output, readiness and end."""

from __future__ import annotations

import atexit
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tests.support.forks import FRAMEWORKS, Fork, Parent
from tests.support.waiting import POLL_SECONDS

ROOT = Path(__file__).resolve().parents[2]

START_SECONDS = 120.0
STOP_SECONDS = 15.0
INSTALL_SECONDS = 600

# Settings of whoever runs the tests that would change what the programs do.
_FOREIGN_PREFIXES = ("AGENT_", "OPENAI_", "FLASK_")
_FOREIGN_NAMES = ("REDIS_URL", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "HOST", "PORT")


def is_foreign(name: str) -> bool:
    """Whether a variable of the caller's environment must not reach what is tested."""
    return name.startswith(_FOREIGN_PREFIXES) or name in _FOREIGN_NAMES


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a program under test: the caller's without foreign settings."""
    kept = {name: value for name, value in os.environ.items() if not is_foreign(name)}
    ours = {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        # Where development mode keeps its token: not at home.
        "XDG_STATE_HOME": f"{tempfile.gettempdir()}/wsgi_app-tests-{os.getuid()}",
        "NO_PROXY": "127.0.0.1,localhost",
        # All tests of a server are one tenant's; the rate limit's own ones name another.
        "AGENT_RATE_LIMIT": "100000/second",
    }
    return {**kept, **ours, **(extra or {})}


def find_program(program: str, package: str) -> str:
    """The path of ``program``; without it the test fails and says which package has it."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # Debian's place for nginx
    found = shutil.which(program, path=path)
    if found is None:
        raise AssertionError(f"This test needs {program}, please run: apt-get install {package}")
    return found


def install_program(program: str, *packages: str) -> str:
    """The path of ``program``, after installing its Debian packages if it is missing.

    For what only slow tests need; the others' programs are installed before a run.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    install_missing(lambda: shutil.which(program, path=path) is not None, *packages)
    return find_program(program, " ".join(packages))


def install_missing(is_there: Callable[[], bool], *packages: str) -> None:
    """Install Debian packages, unless what they have is there.

    Runs of tests at the same time wait for the first.
    """
    script = ROOT / "scripts" / "debian-packages"
    with script.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_there():
            subprocess.run([script, *packages], check=True, timeout=INSTALL_SECONDS)


def free_port(highest: int = 32_000) -> int:
    """A TCP port of 127.0.0.1 on which nothing listens.

    It lies below the range from which the kernel serves outgoing connections, so that none of the
    tests' own connections takes it before the server does.
    """
    for _ in range(100):
        port = random.randint(10_000, highest)  # noqa: S311 - spreads test runs, keeps no secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("100 random ports of 127.0.0.1 are all taken")


def threads_of(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def child_pids(pid: int) -> list[int]:
    """The ids of a process's children, lowest first."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has just ended
            found += [int(child) for child in listing.read_text().split()]
    return sorted(found)


class Process:
    """A started program and all that it wrote. Used by one thread."""

    def __init__(self, name: str, child: subprocess.Popen[bytes] | Fork, output: Path) -> None:
        self.name = name
        self._child = child
        self._output = output
        self.pid = child.pid

    def log(self) -> str:
        """What the program has written so far, to stdout and stderr."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._child.poll() is None

    def children(self) -> list[int]:
        """The ids of its child processes, lowest first."""
        return child_pids(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, not to its children."""
        self._child.send_signal(number)

    def wait_until(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait for ``ready``; raises AssertionError with the output if it ends or is too late."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running():
                raise AssertionError(
                    f"{self.name} ended with {self._child.returncode}:\n{self.log()}"
                )
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} not ready within {seconds} s:\n{self.log()}")
            time.sleep(POLL_SECONDS)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """End it with SIGTERM and return its exit status.

        Raises AssertionError with the output if SIGKILL had to follow after ``seconds``.
        """
        self._child.terminate()
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end within {seconds} s of SIGTERM:\n{self.log()}"
            ) from error

    def kill(self) -> None:
        """SIGKILL the program and every process it started; no effect on what has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait(STOP_SECONDS)


def _spawn(
    command: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    output: Path,
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    # With a run that is killed (pytest-timeout does) its servers must end too.
    guard = [find_program("setpriv", "util-linux"), "--pdeathsig", "TERM", "--"]
    with output.open("wb") as sink:
        return subprocess.Popen(
            [*guard, *command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,  # a group of its own, so that no grandchild is left over
        )


_parents: dict[bool, Parent] = {}


def forks_parent(*, frameworks: bool = False) -> Parent:
    """The process whose forks have loaded this; it starts with the first, and ends with us."""
    parent = _parents.get(frameworks)
    if parent is None:
        parent = Parent(clean_environment(), ROOT, FRAMEWORKS if frameworks else ())
        _parents[frameworks] = parent
        atexit.register(parent.close)
    return parent


def own_children() -> list[int]:
    """The ids of what this process has started and not ended yet, forks among them."""
    parents = [parent.pid for parent in _parents.values()]
    children = [pid for pid in child_pids(os.getpid()) if pid not in parents]
    return children + [pid for parent in parents for pid in child_pids(parent)]


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder with a short path (a UNIX socket's has at most 107 bytes), removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="agent-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started(  # noqa: PLR0913 - as `subprocess.Popen`
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    may_fork: bool = False,
    frameworks: bool = False,
) -> Iterator[Process]:
    """Run ``command`` for the length of the block; its output is shown when the block fails.

    It inherits the files numbered ``pass_fds``, under the same numbers. With ``may_fork`` a module
    of this Python starts as a fork of one that has loaded the package (`tests.support.forks`),
    with ``frameworks`` those too.

    The block must end in the thread that began it: the program ends with that thread.
    """
    environment, place = clean_environment(env), cwd or ROOT
    with temporary_folder() as folder:
        output = folder / "output"
        name = " ".join(Path(part).name for part in command[:3])
        may_fork = may_fork and list(command[:2]) == [sys.executable, "-m"]
        parent = forks_parent(frameworks=frameworks) if may_fork else None
        child: subprocess.Popen[bytes] | Fork
        if parent and parent.can_start(environment):
            with open(os.devnull, "rb") as nothing, output.open("wb") as sink:  # noqa: PTH123 - no folder's file
                files = nothing.fileno(), sink.fileno(), sink.fileno()
                child = parent.start(command[2], command[3:], environment, place, files)
        else:
            child = _spawn(command, environment, place, output, pass_fds)
        process = Process(name, child, output)
        try:
            yield process
            if process.running():
                process.stop()
        except BaseException:
            sys.stderr.write(f"--- output of {process.name} ---\n{process.log()}\n")
            raise
        finally:
            process.kill()


def run_module(
    module: str,
    *arguments: str,
    typed: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    seconds: float = START_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a module of the package as a fork, as ``python -m`` does, to its end.

    ``typed``, at most 64 KB, comes through a pipe. ``env`` is its whole environment, by default
    `clean_environment`. Raises `subprocess.TimeoutExpired` after ``seconds``.
    """
    reader, writer = os.pipe()
    with open(reader, "rb") as given, open(writer, "wb") as pen:  # noqa: PTH123 - a pipe
        pen.write(typed.encode())
        pen.close()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            files = given.fileno(), out.fileno(), err.fileno()
            parent, environment = forks_parent(), clean_environment() if env is None else env
            child = parent.start(module, arguments, environment, cwd, files)
            try:
                status = child.wait(seconds)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
            texts = [_all_of(file) for file in (out, err)]
    return subprocess.CompletedProcess([module, *arguments], status, *texts)


def _all_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
