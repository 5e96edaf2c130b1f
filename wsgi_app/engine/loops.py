"""The worker's two event loops: one for the host's own I/O, one for users' async code."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Final

from wsgi_app.engine.loop import LoopThread
from wsgi_app.engine.watchdog import Watchdog

#: The loops of this process, once there are some, and its id: a fork has none. Guarded by the lock.
_shared: Final[dict[str, Any]] = {}
_lock: Final = threading.Lock()


class Loops:
    """Both loops, and the watchdog of the second; used from any thread.

    One for all hosts of a process: libraries keep connections that belong to a loop, so that two
    loops in a process break those which share them (langchain-openai does).
    """

    def __init__(self) -> None:
        self._users = 0
        self.io = LoopThread("io")
        self.agents = LoopThread("agents")
        self._watchdog = Watchdog(self.agents, self.io)

    @classmethod
    def take(cls) -> Loops:
        """This process's loops, for one more user, who gives them back."""
        with _lock:
            if _shared.get("pid") != os.getpid():
                _shared["pid"], _shared["loops"] = os.getpid(), cls()
            loops: Loops = _shared["loops"]
            loops._users += 1
            return loops

    def give_back(self, timeout_seconds: float) -> None:
        """Leave; the last user ends both loops, within about this time."""
        with _lock:
            self._users -= 1
            if self._users:
                return
            if _shared.get("loops") is self:
                _shared.clear()
        deadline = time.monotonic() + timeout_seconds
        for loop in (self.io, self.agents):
            loop.stop(max(0.1, deadline - time.monotonic()))

    def warnings(self) -> list[str]:
        """Say what is not as it should be."""
        seconds = self._watchdog.blocked_seconds
        return (
            [f"an async agent has blocked the agents loop for {seconds:.0f} s"] if seconds else []
        )

    def count_tasks(self) -> int:
        """How many tasks both loops have."""
        return self.io.count_tasks() + self.agents.count_tasks()
