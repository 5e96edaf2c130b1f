"""The installed command, run as scripts and people run it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, clean_environment, find_program, run_module
from tests.support.waiting import wait_for

COMMAND = str(Path(sys.executable).with_name("wsgi-agent-host"))
#: The settings of whoever runs the tests must not reach the command.
OWN_SETTINGS = {"WSGI_AGENT_HOST_URL": "http://127.0.0.1:1", "WSGI_AGENT_HOST_TOKEN": "dev"}
SECONDS = 20.0


def steps(*each: dict[str, Any]) -> str:
    """The message that has the obedient agent do these steps."""
    return json.dumps(each)


def chat(
    url: str, *options: str, typed: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``wsgi-agent-host chat`` to its end, with ``typed`` through a pipe."""
    settings = {**OWN_SETTINGS, **(env or {})}
    return run_command("chat", url, *options, typed=typed, env=settings, seconds=SECONDS)


def run_command(
    *arguments: str,
    typed: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    seconds: float = 100,
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, as a fork: a second less than a program (`COMMAND`) takes."""
    settings = clean_environment(env)
    return run_module("tests.cli", *arguments, typed=typed, env=settings, cwd=cwd, seconds=seconds)


class Terminal:
    """A terminal in which the command runs, and the person who sits there. Used by one thread."""

    def __init__(self, master: int, child: subprocess.Popen[bytes]) -> None:
        self._master = master
        self._child = child
        self._seen = b""
        self._waited_to = 0

    def wait(self, text: str, seconds: float = SECONDS) -> str:
        """Wait until ``text`` appears behind what was waited for; returns what came until then."""
        deadline = time.monotonic() + seconds
        while (found := self._seen.find(text.encode(), self._waited_to)) < 0:
            if time.monotonic() > deadline or not self._read(deadline):
                raise AssertionError(f"{text!r} did not appear in:\n{self.shown()}")
        passed = self._seen[self._waited_to : found]
        self._waited_to = found + len(text.encode())
        return passed.decode(errors="replace")

    def shown(self) -> str:
        """All that has appeared."""
        return self._seen.decode(errors="replace")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def interrupt_prompt(self) -> None:
        """Press Ctrl-C once the command waits for keys.

        One that comes between readline's prompt and its select() is kept by Python until the next
        key (Modules/readline.c of CPython); a person is never that fast.
        """
        wait_for(self._sleeps, "the command waits for keys", SECONDS)
        self.type("\x03")

    def _sleeps(self) -> bool:
        stat = Path(f"/proc/{self._child.pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[0] == "S"

    def say(self, line: str) -> None:
        """Wait for the prompt and type a line."""
        self.wait("> ")
        self.type(f"{line}\r")

    def status(self) -> int:
        """Wait for the command's end and answer its exit status."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline):
            assert time.monotonic() < deadline, f"no end:\n{self.shown()}"
        return self._child.wait(SECONDS)

    def _read(self, deadline: float) -> bool:
        """Read more; False at the end."""
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        if ready:
            with suppress(OSError):  # EIO: nobody has the terminal open any more
                if data := os.read(self._master, 65_536):
                    self._seen += data
                    return True
            return False
        return True


def _keep_output(slave: int) -> None:
    """Have Ctrl-C drop nothing: else Linux forgets what was printed and not read yet (NOFLSH)."""
    attributes = termios.tcgetattr(slave)
    attributes[3] |= termios.NOFLSH
    termios.tcsetattr(slave, termios.TCSANOW, attributes)


@contextmanager
def terminal(url: str, *options: str) -> Iterator[Terminal]:
    """Run ``wsgi-agent-host chat`` in a terminal of its own for the length of the block."""
    master, slave = os.openpty()
    _keep_output(slave)
    command = [
        *(find_program("setpriv", "util-linux"), "--pdeathsig", "TERM", "--"),
        *(find_program("setsid", "util-linux"), "--ctty"),
        # a run in the background hands on that Ctrl-C is ignored
        *(find_program("env", "coreutils"), "--default-signal=INT"),
        *(COMMAND, "chat", url, *options),
    ]
    env = clean_environment({**OWN_SETTINGS, "TERM": "xterm", "COLUMNS": "500"})
    try:
        child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        yield Terminal(master, child)
    finally:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        child.wait(SECONDS)
        os.close(master)
