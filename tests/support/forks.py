"""Python programs that start as forks of one that has loaded the package.

A run of the suite starts some 270 gunicorns. Half of a second of processor time goes into each, and
most of that into imports: 0.35 s of 0.48 s. A fork needs none of them. It is a process of its
own in all else: session, environment, folder, output, arguments, and the module that it runs.

What is loaded before must not depend on the environment: the package builds nothing when it is
imported (tests/test_project.py), and gunicorn, which reads variables when it is, is not.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, Optional

#: What every host loads, and those with a model; some environments have not all of it.
LOADED: Final = (
    "flask",
    "msgspec",
    "openai",
    "pydantic",
    "redis",
    "ssl",
    "wsgi_app.host",
    "wsgi_app.store.redis",
    "wsgi_app.gunicorn_hooks",
    "wsgi_app.standalone",
    *("wsgi_app.agents.demo", "wsgi_app.agents.openai_client", "wsgi_app.agents.openai_direct"),
    *("httpcore2", "openai.resources.chat", "openai.resources.responses"),
    # Of the standard library, what gunicorn and prometheus_client load.
    *("argparse", "glob", "grp", "gzip", "logging.config", "logging.handlers", "mmap", "pwd"),
    *("timeit", "wsgiref.simple_server", "wsgiref.validate"),
    # Of gunicorn, what reads no variables when it is imported.
    *("gunicorn.glogging", "gunicorn.http", "gunicorn.sock"),
    *("click", "requests"),  # the command's
)
#: What graphs and agents of frameworks load, which takes longer than all else.
FRAMEWORKS: Final = (
    *("langchain.agents", "langchain_openai", "langgraph.prebuilt"),
    *("langgraph.checkpoint.postgres.aio", "langgraph.checkpoint.sqlite.aio"),
    *("agents", "pydantic_ai"),
)
#: Packages of which a mount loads every module.
LOADED_WHOLE: Final = ("wsgi_app.wires", "wsgi_app.web", "wsgi_app.delivery", "wsgi_app.engine")
PR_SET_PDEATHSIG: Final = 1
END_SECONDS: Final = 10
STANDARD_FILES: Final = (0, 1, 2)
POLL_SECONDS: Final = 0.01


class Fork:
    """A started program, with those of `subprocess.Popen`'s methods that `Process` calls."""

    def __init__(self, parent: Parent, pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self.returncode: Optional[int] = None

    def poll(self) -> Optional[int]:
        """Its exit status, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._parent.ask({"poll": self.pid})["status"]
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end; raises `subprocess.TimeoutExpired`."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a fork", timeout)
            time.sleep(POLL_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)


class Parent:
    """The process that forks, and ends with its starter. Used by any thread."""

    def __init__(self, env: Mapping[str, str], cwd: Path, loads: Sequence[str] = ()) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forks", str(theirs.fileno()), *loads],
                env=dict(env),
                cwd=cwd,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # signals to the run's group are not for its children
            )
        self._environment = _of_interpreter(env)
        self.pid = self._child.pid

    def can_start(self, env: Mapping[str, str]) -> bool:
        """Whether an interpreter in this environment would be as this one."""
        return _of_interpreter(env) == self._environment

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        files: Sequence[int],
    ) -> Fork:
        """Run a module as ``python -m`` does; ``files``: its stdin, stdout and stderr."""
        request = {"module": module, "arguments": [*arguments], "env": {**env}, "cwd": str(cwd)}
        return Fork(self, self.ask(request, files)["pid"])

    def ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> Any:
        """Send a request and return the answer."""
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            sent = socket.send_fds(self._socket, [line], files)
            self._socket.sendall(line[sent:])
            return json.loads(_read_line(self._socket)[0])

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._child.wait(END_SECONDS)


def _of_interpreter(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith("PYTHON")}


def _read_line(connection: socket.socket) -> tuple[bytes, list[int]]:
    """One line, and the files that came with it; empty at the end. None is on its way behind it."""
    line, files = b"", list[int]()
    while not line.endswith(b"\n"):
        piece, more, _, _ = socket.recv_fds(connection, 65_536, len(STANDARD_FILES))
        if not piece:
            return b"", files
        line += piece
        files += more
    return line, files


def main(descriptor: int, loads: Sequence[str]) -> None:
    """Load the package and what is named, and fork on request until the starter has gone."""
    for name in (*LOADED, *_modules(), *loads):
        with suppress(ModuleNotFoundError):
            __import__(name)
    _prepare()
    gc.collect()
    gc.freeze()  # forks shall neither look at what is here nor copy it
    starter = socket.socket(fileno=descriptor)
    while True:
        line, files = _read_line(starter)
        if not line:
            return
        request = json.loads(line)
        if "poll" in request:
            _answer(starter, status=_status(request["poll"]))
        elif os.fork() == 0:
            _become(request, files, starter)
            _run(request["module"])
        for file in files:
            os.close(file)


def _prepare() -> None:
    """What each app does as it is built, once for all: a third of the time that this takes."""
    importlib.import_module("wsgi_app.compat.msgspec").prepare_structs()


def _modules() -> Iterator[str]:
    for name in LOADED_WHOLE:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            yield module.name


def _run(module: str) -> NoReturn:
    """Run a module, and end as Python does but for what it takes apart when it ends.

    That costs more than the start of a fork, for a memory that the system takes back as a whole.
    gunicorn's workers come here, too: they are forks of the arbiter, and end by SystemExit.
    """
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - waits for threads, as at any end
    atexit._run_exitfuncs()  # noqa: SLF001 - the same
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _answer(starter: socket.socket, **values: Any) -> None:
    starter.sendall(json.dumps(values).encode() + b"\n")


def _status(pid: int) -> Optional[int]:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _become(request: Mapping[str, Any], files: Sequence[int], starter: socket.socket) -> None:
    """Be a process as `Process` starts them, then report to the starter."""
    os.setsid()  # a group of its own, so that no grandchild is left over
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for file, number in zip(files, STANDARD_FILES):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv = [request["module"], *request["arguments"]]
    _answer(starter, pid=os.getpid())
    starter.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
