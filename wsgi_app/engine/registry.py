"""The runners of this process, for the server's hooks, which know no app."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgi_app.engine.runner import Runner

# Dropped with their last use elsewhere. Added to by the first request of each host.
_live: weakref.WeakSet[Runner] = weakref.WeakSet()
_announcers: list[Callable[[Runner], None]] = []


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
