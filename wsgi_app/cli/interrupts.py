"""Ctrl-C while an answer comes."""

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


class Interrupts:
    """Makes the first Ctrl-C a KeyboardInterrupt in a `heard` block, and the second leave at once.

    One for each answer. Outside of `heard` blocks the first one waits, so that no event is shown
    by half. Used by the main thread, which also runs the signal's handler.
    """

    def __init__(self) -> None:
        self._hearing = False
        self._pressed = False
        self._waiting = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Let Ctrl-C interrupt what the block waits for."""
        self._hearing = True
        try:
            if self._waiting:
                self._waiting = False
                raise KeyboardInterrupt
            yield
        finally:
            self._hearing = False

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self._pressed:
            raise SystemExit(INTERRUPTED)
        self._pressed = True
        self._waiting = not self._hearing
        if self._hearing:
            raise KeyboardInterrupt
