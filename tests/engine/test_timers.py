"""Delayed calls on a loop: made in time, given up without a trace, and seldom heard of."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support.waiting import wait_for
from wsgi_app.engine.runtime import loop as loop_module
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.timers import MIN_LOOKED_AT, Timer, Timers


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """A loop in its thread."""
    made = LoopThread("timers")
    yield made
    made.stop(10)


def test_calls_come_in_the_order_of_their_times(loop: LoopThread) -> None:
    """Whichever was asked for first, and though the loop sleeps for a later one."""
    came: list[int] = []
    for hundredths in (30, 5, 20, 1, 10):
        loop.call_later(hundredths / 100, lambda n=hundredths: came.append(n))  # type: ignore[misc] # mypy knows no type for it
    wait_for(lambda: len(came) == 5, "all calls")
    assert came == [1, 5, 10, 20, 30]


def test_none_comes_before_its_time(loop: LoopThread) -> None:
    """Not by a millisecond."""
    came = threading.Event()
    began_at = time.monotonic()
    loop.call_later(0.05, came.set)
    assert came.wait(10)
    assert time.monotonic() - began_at >= 0.05


def test_a_cancelled_call_does_not_come(loop: LoopThread) -> None:
    """Those behind it do."""
    came: list[str] = []
    given_up = loop.call_later(0.02, lambda: came.append("given up"))
    loop.call_later(0.05, lambda: came.append("kept"))
    given_up.cancel()
    wait_for(lambda: came, "the call behind it")
    assert came == ["kept"]


def test_a_call_that_fails_stops_no_other(
    loop: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the log."""
    came = threading.Event()
    loop.call_later(0.01, partial(came.wait, "no number"))  # type: ignore[arg-type] # on purpose
    loop.call_later(0.01, came.set)
    loop.call_later(0.03, came.set)
    with caplog.at_level(logging.ERROR, "asyncio"):
        assert came.wait(10)
    assert "TypeError" in caplog.text


def test_threads_that_ask_at_once_get_all_their_calls(loop: LoopThread) -> None:
    """None is lost, whichever of them comes to be the next."""
    came: list[int] = []

    def ask() -> None:
        for number in range(500):
            loop.call_later((number * 7919 % 100) / 1000, lambda: came.append(1))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(came) == 2000, "all calls")


def test_the_loop_hears_of_the_next_timer_alone() -> None:
    """A turn's time limit, which is behind those of the turns before it, wakes nobody."""
    timers = Timers()
    assert timers.add(60, Timer(lambda: None))
    assert not timers.add(61, Timer(lambda: None))
    assert timers.add(59, Timer(lambda: None))


class Turn:
    """What a timer's call holds."""

    def time_out(self) -> None:
        """Do nothing."""


def test_a_cancelled_timer_lets_go_of_what_it_calls(loop: LoopThread) -> None:
    """Long before its time."""
    turn = Turn()
    gone = weakref.ref(turn)
    timer = loop.call_later(600, turn.time_out)
    timer.cancel()
    del turn
    gc.collect()
    assert gone() is None


def test_cancelled_timers_do_not_pile_up() -> None:
    """However many turns end before their time, their timers do not stay until then."""
    timers = Timers()
    for _ in range(50 * MIN_LOOKED_AT):
        timer = Timer(lambda: None)
        timers.add(600, timer)
        timer.cancel()
    assert len(timers) <= MIN_LOOKED_AT


def test_a_loop_that_got_no_thread_calls_later(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer that could not be made keeps back none of those that are due behind its time."""

    def refuse(_target: Callable[[], None], _name: str) -> threading.Thread:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(loop_module, "start_thread", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            loop.call_later(0, lambda: None)
    came = threading.Event()
    loop.call_later(0.01, came.set)
    assert came.wait(10)


def test_a_loop_that_has_ended_takes_no_timer() -> None:
    """Also behind one that it has left."""
    loop = LoopThread("ended")
    loop.call_later(60, lambda: None)
    loop.stop(10)
    with pytest.raises(RuntimeError, match="ended"):
        loop.call_later(120, lambda: None)


def test_a_call_that_is_due_may_be_given_up_by_the_one_before_it(loop: LoopThread) -> None:
    """Two fall due at once: what the first gives up does not come."""
    came: list[str] = []
    later: list[Timer] = []
    is_held = threading.Event()
    loop.call_soon(lambda: is_held.wait(10))
    loop.call_later(0, lambda: later.pop().cancel())
    later.append(loop.call_later(0, lambda: came.append("given up")))
    loop.call_later(0, lambda: came.append("kept"))
    is_held.set()
    wait_for(lambda: came, "the call behind it")
    assert came == ["kept"]
