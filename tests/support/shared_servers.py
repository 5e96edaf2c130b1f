"""Servers that test files share: one for an app, its threads, settings and delivery.

They are for tests that leave a server as it was: that neither end, signal nor fill it, and that
count only what is of their own sessions (`new_session`) or tenants. Nothing is bounded but what a
test's settings bound, and streams are silent for no longer than 0.2 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final, NamedTuple

from tests.support.servers import Gunicorn, gunicorn

SCRIPTED: Final = "tests.support.apps:scripted_app()"
#: So many live at a time in one of pytest's processes; a test file needs two at most.
MOST: Final = 4
SETTINGS: Final = {
    "AGENT_KEEPALIVE_SECONDS": "0.2",
    "AGENT_MAX_TURNS_PER_TENANT": "100000",
    "AGENT_RATE_LIMIT": "1000000/minute",
}

#: Three tenants; of the last one's sessions there are no more than a test has begun.
TENANTS: Final = {"AGENT_TOKENS": "dev=alpha,other=beta,list=gamma"}
#: Questions that soon expire.
EXPIRING: Final = {"AGENT_INPUT_TIMEOUT_SECONDS": "3"}


class Wanted(NamedTuple):
    """What tells one server from another."""

    app: str
    threads: int
    delivery: str | None
    settings: tuple[tuple[str, str], ...]


class SharedServers:
    """Starts what is not there yet, and ends what nobody has asked for in a while."""

    def __init__(self) -> None:
        self._running: dict[Wanted, tuple[Gunicorn, ExitStack]] = {}

    def get(
        self,
        app: str = SCRIPTED,
        *,
        threads: int = 32,
        delivery: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Gunicorn:
        """A server of one worker; ``env`` adds to the settings."""
        settings = {**SETTINGS, **(env or {})}
        wanted = Wanted(app, threads, delivery, tuple(sorted(settings.items())))
        running = self._running.pop(wanted, None) or self._start(wanted)
        self._running[wanted] = running  # behind those that were asked for before
        return running[0]

    def _start(self, wanted: Wanted) -> tuple[Gunicorn, ExitStack]:
        while len(self._running) >= MOST:
            self._running.pop(next(iter(self._running)))[1].close()
        app, threads, delivery, settings = wanted
        stack = ExitStack()
        server = stack.enter_context(
            gunicorn(app, threads=threads, delivery=delivery, env=dict(settings))
        )
        return server, stack

    def pids(self) -> set[int]:
        """The processes that outlive their test."""
        return {server.pid for server, _ in self._running.values()}

    def close(self) -> None:
        """End all."""
        while self._running:
            self._running.popitem()[1][1].close()
