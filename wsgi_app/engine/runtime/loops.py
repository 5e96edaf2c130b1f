"""The worker's two event loops: one for the host's own I/O, one for users' async code."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.watchdog import Watchdog


class AgentsLoop:
    """The loop of users' async code, one for all hosts of a process, and its watchdog.

    Libraries keep connections that belong to a loop: two such loops in a process would break those
    which share them (langchain-openai does). Taken and returned by any thread; the module's lock
    guards the count of its users.
    """

    def __init__(self) -> None:
        self.users = 0
        self.loop = LoopThread("agents")
        self._watching = LoopThread("watchdog")
        self.watchdog = Watchdog(self.loop, self._watching)

    def stop(self, timeout_seconds: float) -> None:
        """End it, within about this time."""
        deadline = time.monotonic() + timeout_seconds
        for loop in (self.loop, self._watching):
            loop.stop(max(0.1, deadline - time.monotonic()))


_lock: Final = threading.Lock()
#: By process id: a fork has none yet.
_by_pid: Final[dict[int, AgentsLoop]] = {}


def _take() -> AgentsLoop:
    with _lock:
        shared = _by_pid.get(os.getpid()) or AgentsLoop()
        _by_pid[os.getpid()] = shared
        shared.users += 1
        return shared


def _give_back(shared: AgentsLoop, timeout_seconds: float) -> None:
    with _lock:
        shared.users -= 1
        if shared.users:
            return
        del _by_pid[os.getpid()]
    shared.stop(timeout_seconds)


class Loops:
    """One host's own loop for its I/O, and its process's loop for agents; used from any thread."""

    def __init__(self) -> None:
        self.io = LoopThread("io")
        self._shared = _take()
        self._stopped = False
        self.agents = self._shared.loop

    def stop(self, timeout_seconds: float) -> None:
        """End the first, and with the process's last host the second, within about this time."""
        if self._stopped:
            return
        self._stopped = True
        deadline = time.monotonic() + timeout_seconds
        self.io.stop(timeout_seconds)
        _give_back(self._shared, max(0.1, deadline - time.monotonic()))

    def warnings(self) -> list[str]:
        """Say what is not as it should be."""
        seconds = self._shared.watchdog.blocked_seconds
        return (
            [f"an async agent has blocked the agents loop for {seconds:.0f} s"] if seconds else []
        )

    def count_tasks(self) -> int:
        """How many tasks both loops have."""
        return self.io.count_tasks() + self.agents.count_tasks()
