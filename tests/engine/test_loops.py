"""The event loops: one for the async agents of all hosts, ended by the last of them."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import Future
from contextvars import Context, ContextVar
from functools import partial

import pytest

from tests.support.turns import TurnBench
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.loops import Loops
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.events import Done, Token


def test_hosts_of_a_process_share_their_loops() -> None:
    """What a library binds to the loop in one host's turn works in another's."""
    made: list[asyncio.Lock] = []

    async def wait_at(lock: asyncio.Lock) -> None:
        async with lock:
            await asyncio.sleep(0)

    async def agent(turn: Turn) -> str:
        if not made:
            made.append(asyncio.Lock())
        await asyncio.gather(*(wait_at(made[0]) for _ in range(3)))  # binds it to the loop
        return turn.message

    benches = [TurnBench(), TurnBench()]
    try:
        for bench in benches:
            events = bench.run(agent)
            assert (events[0], type(events[-1])) == (Token("hi"), Done)
    finally:
        for bench in benches:
            bench.runner.close(10)


def test_agents_loop_goes_on_until_its_last_host_leaves() -> None:
    """One host's end leaves the others' loop running, and ends its own loop for I/O."""
    one, other = Loops(), Loops()
    assert one.agents is other.agents
    assert one.io is not other.io
    one.stop(5)
    assert other.agents.submit(asyncio.sleep(0, "still here")).result(20) == "still here"
    other.stop(5)
    new = Loops()
    assert new.agents.submit(asyncio.sleep(0, "new")).result(20) == "new"
    new.stop(5)


def test_calls_of_all_threads_are_made_in_order_and_none_is_lost() -> None:
    """Whether a call wakes the loop or finds it awake: each is made, a thread's own in order."""
    rounds, threads = 1_000, 4
    loop = LoopThread("test")
    late: list[int] = []

    def send() -> None:
        for round_ in range(rounds):
            made: list[str] = []
            over = threading.Event()
            loop.call_soon(partial(made.append, "first"))
            loop.call_soon(over.set)
            # Nobody else may wake the loop any more: what is lost now stays so.
            if not over.wait(20) or made != ["first"]:
                late.append(round_)
                return

    usual_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads meet at every point
    try:
        senders = [threading.Thread(target=send) for _ in range(threads)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(120)
        assert not late
    finally:
        sys.setswitchinterval(usual_seconds)
        loop.stop(5)


def test_call_keeps_its_callers_context() -> None:
    """What is submitted sees the caller's context variables, not those of who woke the loop."""
    name: ContextVar[str] = ContextVar("name")
    go_on = threading.Event()

    async def read() -> str:
        return name.get()

    def submit(value: str) -> Future[str]:
        name.set(value)
        return loop.submit(read())

    loop = LoopThread("test")
    try:
        loop.call_soon(lambda: go_on.wait(20))  # so that both come while the loop is busy
        futures = {value: Context().run(submit, value) for value in ("one", "two")}
        go_on.set()
        assert {value: future.result(20) for value, future in futures.items()} == {
            "one": "one",
            "two": "two",
        }
    finally:
        loop.stop(5)


def test_calls_on_an_ended_loop_are_refused() -> None:
    """Who calls on a loop that has ended is told each time, and does not wait for ever."""
    loop = LoopThread("test")
    loop.call_soon(lambda: None)
    loop.stop(5)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            loop.call_soon(lambda: None)
