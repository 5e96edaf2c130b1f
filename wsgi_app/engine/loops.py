"""The worker's two event loops: one for the host's own I/O, one for users' async code."""

from __future__ import annotations

from wsgi_app.engine.loop import LoopThread
from wsgi_app.engine.watchdog import Watchdog


class Loops:
    """Both loops, and the watchdog of the second; used from any thread."""

    def __init__(self) -> None:
        self.io = LoopThread("io")
        self.agents = LoopThread("agents")
        self._watchdog = Watchdog(self.agents, self.io)

    def warnings(self) -> list[str]:
        """Say what is not as it should be."""
        seconds = self._watchdog.blocked_seconds
        return (
            [f"an async agent has blocked the agents loop for {seconds:.0f} s"] if seconds else []
        )

    def count_tasks(self) -> int:
        """How many tasks both loops have."""
        return self.io.count_tasks() + self.agents.count_tasks()
