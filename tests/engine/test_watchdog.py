"""Code that blocks the worker's agents loop is found out, and holds up nobody else."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.turns import TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.errors import UpstreamError
from wsgi_app.events import Cancelled, Token

BLOCK_SECONDS = 60.0


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Set when whatever blocks shall go on."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def bench(release: threading.Event) -> Iterator[TurnBench]:
    """The engine."""
    bench = TurnBench()
    yield bench
    release.set()
    bench.runner.close(10)


def test_a_blocked_agents_loop_is_logged_with_its_stack(
    bench: TurnBench, release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """An async agent that blocks is named by its line, once, and its end is logged, too."""

    async def culprit(turn: Turn) -> AsyncIterator[str]:
        release.wait(BLOCK_SECONDS)
        yield turn.message

    with caplog.at_level(logging.WARNING, "wsgi_app"):
        run = bench.start(culprit)
        wait_for(lambda: "in culprit" in caplog.text, "the stack of the culprit in the log", 20)
        assert "release.wait(BLOCK_SECONDS)" in caplog.text
        assert any("agents loop" in warning for warning in bench.runner.warnings)
        release.set()
        assert run.wait_ended(20)
        wait_for(lambda: "runs again after" in caplog.text, "the end of the block in the log", 20)
    assert caplog.text.count("in culprit") == 1
    assert bench.runner.warnings == []


def test_a_look_that_fails_is_not_the_last(
    bench: TurnBench,
    release: threading.Event,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever goes wrong while the watchdog looks, the next block is found out."""
    failures: list[str] = []

    def fail(_loop: LoopThread) -> str:
        failures.append("failed")
        raise OSError("no stack")

    async def culprit(turn: Turn) -> str:
        release.wait(BLOCK_SECONDS)
        return turn.message

    with monkeypatch.context() as patched:
        patched.setattr(LoopThread, "stack", fail)
        run = bench.start(culprit)
        wait_for(lambda: failures, "a look that fails", 20)
    release.set()
    assert run.wait_ended(20)
    release.clear()
    run = bench.start(culprit)
    wait_for(lambda: "in culprit" in caplog.text, "the stack of the culprit in the log", 20)
    release.set()
    assert run.wait_ended(20)


def test_a_blocked_agents_loop_holds_up_no_model_step_and_no_cancel(
    bench: TurnBench, release: threading.Event
) -> None:
    """While async code blocks, other turns' io tasks go on, and the culprit itself is cancelled."""
    blocked = threading.Event()

    async def culprit(turn: Turn) -> None:
        turn.emit("now")
        blocked.set()
        release.wait(BLOCK_SECONDS)

    async def model_step() -> str:
        await asyncio.sleep(0.01)
        return "streamed"

    run = bench.start(culprit)
    assert blocked.wait(20)
    assert bench.run(lambda turn: turn.run_io(model_step()))[0] == Token("streamed")
    bench.runner.cancel(run.fence.key, None, "user")
    assert events_of(run) == [Token("now"), Cancelled("user")]


def test_a_quiet_async_agent_is_no_culprit(
    bench: TurnBench, caplog: pytest.LogCaptureFixture
) -> None:
    """An async agent that awaits for longer than the watchdog's patience is not accused."""

    async def patient(turn: Turn) -> str:
        await asyncio.sleep(2.5)
        return turn.message

    with caplog.at_level(logging.WARNING, "wsgi_app"):
        assert bench.run(patient)[0] == Token("hi")
    assert caplog.text == ""


def test_an_async_agent_that_ignores_its_cancel_keeps_its_session_object(bench: TurnBench) -> None:
    """A turn's thread stays while its task goes on, so that nobody else gets the same agent."""
    go_on = threading.Event()

    async def deaf(turn: Turn) -> None:
        turn.emit("now")
        while not go_on.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                turn.on_cancel(lambda: None)

    run = bench.start(deaf)
    wait_for(lambda: run.log.last_seq, "the first token")
    bench.runner.cancel(run.fence.key, None, "user")
    assert events_of(run)[-1] == Cancelled("user")
    assert run.goes_on()
    go_on.set()
    wait_for(lambda: not run.goes_on(), "the turn's thread has ended")


def test_an_error_of_the_loop_stays_with_its_turn(bench: TurnBench) -> None:
    """What a task raises reaches the turn that submitted it."""

    async def step() -> None:
        raise UpstreamError("The model provider does not answer.")

    events = bench.run(lambda turn: turn.run_io(step()))
    assert events[-1].code == "upstream_error"  # type: ignore[union-attr] # it is an Error
