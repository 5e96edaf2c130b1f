"""Factories that are async, or async context managers: run on the agent loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.turns import TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app.config import Settings
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.engine.worker.runner import Runner
from wsgi_app.engine.worker.session_agents import SessionAgents
from wsgi_app.host import _factory_of
from wsgi_app.store.base import SessionKey
from wsgi_app.store.memory import MemoryStore

SECONDS = 30.0


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """A loop for agents."""
    made = LoopThread("agents")
    yield made
    made.stop(SECONDS)


def key_of(number: int) -> SessionKey:
    """A session's name."""
    return SessionKey("tenant", f"s-{number}")


def take_many(agents: SessionAgents, count: int) -> list[Any]:
    """Take the agents of so many sessions at one instant."""
    start = threading.Barrier(count)

    def take(number: int) -> Any:
        start.wait(SECONDS)
        return agents.take(key_of(number))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(take, range(count)))


def test_an_async_factory_makes_the_agent_on_the_loop(loop: LoopThread) -> None:
    """What it awaits belongs to the loop that turns run on."""
    made_on: list[asyncio.AbstractEventLoop] = []

    async def make() -> Any:
        await asyncio.sleep(0)
        made_on.append(asyncio.get_running_loop())
        return lambda _: "hi"

    agents = SessionAgents(make, SECONDS, loop)
    assert agents.take(key_of(1)) is agents.take(key_of(2))
    assert made_on == [loop.loop]


def test_an_async_factory_may_make_an_agent_for_each_session(loop: LoopThread) -> None:
    """Objects with close() belong to a session each, as those of a plain factory."""

    class Own:
        closed = False

        def close(self) -> None:
            self.closed = True

    async def make() -> Own:
        return Own()

    agents = SessionAgents(make, SECONDS, loop)
    one, other = agents.take(key_of(1)), agents.take(key_of(2))
    assert one is not other
    agents.discard(key_of(1))
    wait_for(lambda: one.closed, "the session's agent is closed")
    assert not other.closed


def test_a_context_manager_is_entered_once_and_left_at_the_end(loop: LoopThread) -> None:
    """Twenty first turns at an instant share one; its end runs in the task of its entry."""
    tasks: list[Any] = []

    class Pooled:
        def close(self) -> None:
            raise AssertionError("it is no session's")

    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0.05)
        yield Pooled()
        tasks.append(asyncio.current_task())

    agents = SessionAgents(make, SECONDS, loop)
    assert len(set(map(id, take_many(agents, 20)))) == 1
    assert len(tasks) == 1
    agents.discard(key_of(1))
    agents.close_all(SECONDS)
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]


class Wrapper:
    """A function that is wrapped as wrapt 2 does: it has what it stands for, and more."""

    def __init__(self, wrapped: Callable[[Turn], str]) -> None:
        self.__wrapped__ = wrapped

    @property  # type: ignore[misc] # a class may say that it is another
    def __class__(self) -> type:
        return self.__wrapped__.__class__

    def __call__(self, turn: Turn) -> str:
        """Call it."""
        return self.__wrapped__(turn)

    async def __aenter__(self) -> object:
        raise TypeError

    async def __aexit__(self, *_: object) -> None:
        raise TypeError


def test_a_wrapped_function_is_no_context_manager(loop: LoopThread) -> None:
    """An agent that New Relic or another user of wrapt has decorated is called, not entered."""
    agent = Wrapper(lambda turn: turn.message)
    assert hasattr(agent, "__aenter__")
    agents = SessionAgents(_factory_of(agent), SECONDS, loop)
    assert agents.take(key_of(1)) is agent


def test_one_that_cannot_be_entered_is_tried_again(loop: LoopThread) -> None:
    """Each who waits gets the error; the next turn opens it."""
    tries: list[int] = []

    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no database")
        yield lambda _: "hi"

    agents = SessionAgents(make, SECONDS, loop)
    with pytest.raises(OSError, match="no database"):
        agents.take(key_of(1))
    assert agents.take(key_of(1)) is not None
    agents.close_all(SECONDS)


def test_an_end_that_fails_or_hangs_is_logged(
    loop: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that leaves waits no longer than it may."""

    @asynccontextmanager
    async def failing() -> AsyncIterator[Any]:
        yield lambda _: "hi"
        raise OSError("no database")

    @asynccontextmanager
    async def hanging() -> AsyncIterator[Any]:
        yield lambda _: "hi"
        await asyncio.sleep(SECONDS)

    for make, told in ((failing, "the agent's end failed"), (hanging, "was still closing")):
        agents = SessionAgents(make, SECONDS, loop)
        agents.take(key_of(1))
        agents.close_all(0.2)
        assert told in caplog.text


def test_a_turn_that_is_cancelled_does_not_wait_for_the_agent() -> None:
    """Its thread is free at once, and the next turn has the agent that was being made."""
    opened = threading.Event()
    entered: list[int] = []

    async def answer(turn: Turn) -> None:
        turn.emit("hi")

    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        entered.append(1)
        await asyncio.to_thread(opened.wait, SECONDS)
        yield answer

    bench = TurnBench()
    bench.runner.close(SECONDS)
    bench.runner = Runner(Settings(), MemoryStore(), _factory_of(make))
    bench.runner.start()
    bench.store = bench.runner.store  # type: ignore[assignment] # the one above
    run = bench.start(None)
    wait_for(lambda: entered, "it is being made")
    run.cancel("user")
    wait_for(lambda: not run.goes_on(), "the turn's thread has ended")
    opened.set()
    next_run = bench.start(None)
    assert next_run.wait_ended(SECONDS)
    assert [event.__class__.__name__ for event in events_of(next_run)] == ["Token", "Done"]
    assert entered == [1]
    bench.runner.close(SECONDS)
