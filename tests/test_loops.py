"""The event loops: one for the async agents of all hosts, ended by the last of them."""

from __future__ import annotations

import asyncio

from tests.support.turns import TurnBench
from wsgi_app.engine.loops import Loops
from wsgi_app.engine.turn import Turn
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
