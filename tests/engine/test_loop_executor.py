"""Blocking code that runs beside the agents' event loop, as frameworks' sync tools do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import pytest

from tests.support.turns import TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app import Turn, current_turn
from wsgi_app.engine.runtime import loop_executor
from wsgi_app.engine.runtime.loop_executor import MAX_THREADS_PER_TURN, LoopExecutor
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.events import Cancelled, Done, Token

ASKING_TURNS = 60


@pytest.fixture
def bench() -> Iterator[TurnBench]:
    """The engine."""
    bench = TurnBench(max_turns_per_tenant=2 * ASKING_TURNS)
    yield bench
    bench.runner.close(10)


async def asking(turn: Turn) -> str:
    """Ask from a thread, as a sync tool does."""
    assert current_turn() is turn
    return str(await asyncio.to_thread(lambda: current_turn().ask("?")))


def asks(run: TurnRun) -> bool:
    """Whether a turn waits for an answer."""
    return run.questions.waiting


def test_waiting_tools_do_not_hold_up_other_turns(bench: TurnBench) -> None:
    """However many sync tools wait for their users' answers, the next runs; cancels free all."""
    runs = [bench.start(asking) for _ in range(ASKING_TURNS)]
    wait_for(lambda: all(asks(run) for run in runs), "all ask")
    for run in runs:
        run.cancel("user")
    wait_for(lambda: not any(run.goes_on() for run in runs), "all threads have ended")
    assert [events_of(run)[-1] for run in runs] == [Cancelled("user")] * ASKING_TURNS


def test_a_turn_has_a_bounded_number_of_threads(bench: TurnBench) -> None:
    """More blocking calls than a turn may have threads run one after the other, and all do."""
    gate, lock = threading.Semaphore(0), threading.Lock()
    now, most, ended = 0, 0, 0

    def block() -> None:
        nonlocal now, most, ended
        with lock:
            now += 1
            most = max(most, now)
        gate.acquire()
        with lock:
            now -= 1
            ended += 1

    async def many(turn: Turn) -> AsyncIterator[str]:
        calls = [asyncio.to_thread(block) for _ in range(2 * MAX_THREADS_PER_TURN)]
        await asyncio.gather(*calls)
        yield str(turn.message)

    run = bench.start(many)
    wait_for(lambda: now == MAX_THREADS_PER_TURN, "as many as may run")
    gate.release(2 * MAX_THREADS_PER_TURN)
    assert run.wait_ended(10)
    assert isinstance(events_of(run)[-1], Done)
    assert (most, ended) == (MAX_THREADS_PER_TURN, 2 * MAX_THREADS_PER_TURN)


def test_each_call_has_an_app_context_of_its_own(bench: TurnBench) -> None:
    """What blocking calls open in their app contexts is never shared between their threads."""
    number: ContextVar[int] = ContextVar("number")
    opened = iter(range(1, 100))
    seen: list[int] = []

    @contextmanager
    def app_context() -> Iterator[None]:
        token = number.set(next(opened))
        yield
        number.reset(token)

    async def two(_: Turn) -> None:
        seen.append(number.get())
        await asyncio.gather(*(asyncio.to_thread(lambda: seen.append(number.get())) for _ in "ab"))

    run = bench.start(two, app_context=app_context)
    assert run.wait_ended(10)
    assert len(set(seen)) == 3


def test_a_call_outside_of_turns_runs_too() -> None:
    """What no turn has asked for gets a thread as well, and its outcome comes back."""
    executor = LoopExecutor()
    assert executor.submit(divmod, 7, 2).result(10) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 7, 0).result(10)


def test_a_thread_that_cannot_be_started_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine has no thread left the caller hears of it, and the next call works."""
    executor = LoopExecutor()

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(loop_executor, "start_thread", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            executor.submit(divmod, 7, 2)
    assert executor.submit(divmod, 9, 2).result(10) == (4, 1)


def test_a_function_that_raises_stop_iteration_is_an_error(bench: TurnBench) -> None:
    """Its caller is told, though asyncio's futures of older Pythons refuse that exception."""

    async def exhaust(_: Turn) -> str:
        try:
            await asyncio.to_thread(next, iter(()))
        except RuntimeError as error:
            return type(error.__cause__).__name__
        return "nothing"

    assert [event for event in bench.run(exhaust) if event == Token("StopIteration")]
