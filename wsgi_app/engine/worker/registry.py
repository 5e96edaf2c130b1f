"""The hosts and runners of this process, for the server's hooks, which know no app."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Protocol

from wsgi_app.engine.worker.runner import Runner


class Host(Protocol):
    """A host of an app; its runner belongs to this process, and is made on first use."""

    @property
    def runner(self) -> Runner:
        """Its turns."""


# Both are dropped with their last use elsewhere. Hosts are added when an app is built, runners by
# the first use of each host after the fork.
_hosts: weakref.WeakSet[Host] = weakref.WeakSet()
_live: weakref.WeakSet[Runner] = weakref.WeakSet()
_announcers: list[Callable[[Runner], None]] = []


def register_host(host: Host) -> None:
    """Note a host of an app that is being built."""
    _hosts.add(host)


def hosts() -> list[Host]:
    """The hosts of all apps that were built."""
    return list(_hosts)


def register(runner: Runner) -> None:
    """Note a new runner, before its first turn."""
    _live.add(runner)
    for announce in _announcers:
        announce(runner)


def announce_runners(announce: Callable[[Runner], None]) -> None:
    """Have ``announce`` called with every runner that this process makes from now on."""
    _announcers.append(announce)


def live_runners() -> list[Runner]:
    """The runners that this process has made."""
    return [runner for runner in list(_live) if runner.pid == os.getpid()]
