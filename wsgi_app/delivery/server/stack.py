"""The callers of the running code, and what the process's main thread does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import FrameType


class Caller(NamedTuple):
    """A function that waits for the running one."""

    module: str
    function: str
    frame: FrameType

    @property
    def names(self) -> dict[str, Any]:
        """Its local variables."""
        return self.frame.f_locals

    @property
    def owner(self) -> Any:
        """The object whose method it is, or None."""
        return self.frame.f_locals.get("self")


def callers() -> Iterator[Caller]:
    """The callers of this thread's code, the nearest first."""
    yield from _walk(sys._getframe(1))  # noqa: SLF001 - the documented way to the stack


def main_thread() -> Iterator[Caller]:
    """What the main thread runs, the innermost function first.

    Where requests have threads of their own, that is the server's own work.
    """
    frames = sys._current_frames()  # noqa: SLF001 - the same
    yield from _walk(frames.get(threading.main_thread().ident or 0))


def _walk(frame: FrameType | None) -> Iterator[Caller]:
    while frame is not None:
        yield Caller(frame.f_globals.get("__name__", ""), frame.f_code.co_name, frame)
        frame = frame.f_back
