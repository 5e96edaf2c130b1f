"""Ctrl-C, heard in one way by all commands."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's own is missing in Python 3.10

#: What a shell says of a program that Ctrl-C ended.
INTERRUPTED: Final = 130
#: How soon a KeyboardInterrupt that was lost is raised again.
AGAIN_SECONDS: Final = 0.1


class Interrupts:
    """Makes the first Ctrl-C a KeyboardInterrupt in a `handled` block; the second leaves at once.

    Outside of `handled` blocks the first one waits, so that no event is shown by half. Python drops
    an exception that a signal's handler raises in a destructor or a callback, and keeps one that
    comes between readline's prompt and its wait until the next key: so it is raised again until a
    `handled` block has ended with it. Used by the main thread, which also runs the handlers.
    """

    def __init__(self) -> None:
        self._hearing = False
        self._pressed = False
        self._due = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._handle)
        if _HAS_TIMER:
            self._alarm_before = signal.signal(signal.SIGALRM, self._raise_due)
        return self

    def __exit__(self, *_: object) -> None:
        self._settle()
        signal.signal(signal.SIGINT, self._before)
        if _HAS_TIMER:
            signal.signal(signal.SIGALRM, self._alarm_before)

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Let Ctrl-C interrupt what the block waits for."""
        self._hearing = True
        try:
            self._raise_due()
            yield
        except KeyboardInterrupt:
            self._settle()
            raise
        finally:
            self._hearing = False

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self._pressed:
            raise SystemExit(INTERRUPTED)
        self._pressed = self._due = True
        if _HAS_TIMER:
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
        self._raise_due()

    def _raise_due(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        if self._due and self._hearing:
            raise KeyboardInterrupt

    def _settle(self) -> None:
        self._due = False
        if _HAS_TIMER:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the block with KeyboardInterrupt, wherever in it the signal arrives."""
    with Interrupts() as interrupts, interrupts.handled():
        yield


# Not every system has one; there a lost Ctrl-C is to be pressed once more.
_HAS_TIMER: Final = hasattr(signal, "setitimer")
