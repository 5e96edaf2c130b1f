"""Ctrl-C reaches what waits, wherever the signal's handler happens to run."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest

from wsgi_app.cli.interrupts import INTERRUPTED, Interrupts, interruptible

SECONDS = 5.0


class Falling:
    """Presses Ctrl-C in its destructor, where Python drops exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def wait_long() -> None:
    """Wait as for an event of the host."""
    threading.Event().wait(SECONDS)


def fall_and_wait() -> None:
    """Wait, after a destructor."""
    falling = Falling()
    del falling
    wait_long()


def press_twice() -> None:
    """Press Ctrl-C impatiently."""
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def test_a_ctrl_c_in_a_destructor_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt that Python drops is raised once more."""
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    with pytest.raises(KeyboardInterrupt), interruptible():
        fall_and_wait()
    assert len(dropped) == 1


def test_one_between_two_waits_is_handled_at_the_next() -> None:
    """What is shown is shown whole; the next wait ends at once, and the one after it does not."""
    with Interrupts() as interrupts:
        with interrupts.handled():
            pass
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interrupts.handled():
            wait_long()
        with interrupts.handled():
            time.sleep(0.3)  # three times as long as one is raised again


def test_the_second_one_leaves_at_once() -> None:
    """It ends the program with the status of an interrupted one, though nothing waits."""
    with pytest.raises(SystemExit) as left, Interrupts():
        press_twice()
    assert left.value.code == INTERRUPTED


def test_the_callers_own_handlers_are_back() -> None:
    """After the block both signals are handled as before."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
