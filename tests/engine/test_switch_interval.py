"""How often threads ask for the interpreter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.turns import TurnBench
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.engine.runtime.switch_interval import MAX_SECONDS, SwitchInterval

PYTHONS_SECONDS = 0.005


@pytest.fixture(autouse=True)
def _usual() -> Iterator[None]:
    """Each test begins and ends with CPython's own interval."""
    sys.setswitchinterval(PYTHONS_SECONDS)
    yield
    assert sys.getswitchinterval() == pytest.approx(PYTHONS_SECONDS)


def compete(stack: ExitStack, interval: SwitchInterval, threads: int) -> None:
    """Count so many threads until the stack is closed."""
    for _ in range(threads):
        stack.enter_context(interval.competing())


def test_few_threads_change_nothing() -> None:
    """Up to 40 threads in agents' code leave the process's interval as it is."""
    with ExitStack() as stack:
        compete(stack, SwitchInterval(), 40)
        assert sys.getswitchinterval() == pytest.approx(PYTHONS_SECONDS)


def test_the_interval_grows_with_the_threads() -> None:
    """An eighth of a millisecond a thread, bounded, and back when they have gone."""
    interval = SwitchInterval()
    with ExitStack() as stack:
        compete(stack, interval, 100)
        assert sys.getswitchinterval() == pytest.approx(0.0125)
        compete(stack, interval, 900)
        assert sys.getswitchinterval() == pytest.approx(MAX_SECONDS)


def test_threads_that_wait_for_the_engine_do_not_count() -> None:
    """A thread that sleeps until a loop wakes it asks for nothing."""
    interval = SwitchInterval()
    with ExitStack() as stack:
        compete(stack, interval, 100)
        for _ in range(20):
            stack.enter_context(interval.waiting())
        assert sys.getswitchinterval() == pytest.approx(0.01)


@pytest.mark.parametrize("sites_seconds", [0.001, 0.03])
def test_an_interval_of_the_sites_own_comes_back(sites_seconds: float) -> None:
    """What the site has set holds where it is longer, and is there again afterwards."""
    sys.setswitchinterval(sites_seconds)
    try:
        interval = SwitchInterval()
        with ExitStack() as stack:
            compete(stack, interval, 100)
            assert sys.getswitchinterval() == pytest.approx(max(sites_seconds, 0.0125))
        assert sys.getswitchinterval() == pytest.approx(sites_seconds)
    finally:
        sys.setswitchinterval(PYTHONS_SECONDS)


def test_agents_in_their_own_code_are_counted() -> None:
    """Turns whose agents run stretch the interval; turns that wait for a loop do not."""
    bench = TurnBench(max_turns_per_tenant=100)
    go_on: Future[None] = Future()

    async def sleep_on_the_loop() -> None:
        await asyncio.shield(asyncio.wrap_future(go_on))

    def busy(_: Turn) -> Any:
        yield "begun"
        go_on.result()

    def waiting(turn: Turn) -> Any:
        yield "begun"
        turn.run_io(sleep_on_the_loop())

    runs = [bench.start(agent) for agent in (*[busy] * 60, *[waiting] * 10)]
    try:
        wait_for(lambda: sys.getswitchinterval() == pytest.approx(0.0075), "60 threads count")
    finally:
        go_on.set_result(None)
    assert all(run.wait_ended(30) for run in runs)
    wait_for(lambda: sys.getswitchinterval() == pytest.approx(PYTHONS_SECONDS), "none counts")
