"""An agent that waits for an answer when its turn ends."""

from __future__ import annotations

import threading

import pytest

from tests.support.turns import END_SECONDS, TurnBench
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.engine.turn.question import QuestionPending, Questions
from wsgi_app.errors import TurnCancelled
from wsgi_app.events import InputRequest
from wsgi_app.store.base import Fence, SessionKey
from wsgi_app.store.memory import MemoryStore

REPETITIONS = 50


def test_the_turns_end_is_what_breaks_off_the_wait() -> None:
    """Whatever the moment, the agent sees TurnCancelled, which no tool's error handler catches."""
    raised: list[type[BaseException]] = []
    bench = TurnBench()

    def ask(turn: Turn) -> None:
        try:
            turn.ask("which?")
        except BaseException as error:
            raised.append(type(error))
            assert turn.cancelled
            raise

    for _ in range(REPETITIONS):
        run = bench.start(ask)
        wait_for(lambda run=run: run.questions.waiting, "the question")  # type: ignore[misc] # mypy cannot infer a lambda's default
        bench.runner.cancel(run.fence.key, None, "user")
        assert run.thread is not None
        run.thread.join(END_SECONDS)
    assert raised == [TurnCancelled] * REPETITIONS
    bench.runner.close(10)


class HeedlessStore(MemoryStore):
    """Takes the questions of any turn."""

    def open_input(self, fence: Fence, request_id: str) -> None:
        """Take a question."""


def test_no_question_opens_while_another_is_being_closed() -> None:
    """The clocks that its wait stops are not started again by the end of the wait before it."""
    bench = TurnBench(HeedlessStore)
    clocks: list[str] = []

    def ask() -> None:
        with pytest.raises(QuestionPending):
            questions.ask(lambda name: InputRequest(name, "second?"), emit)

    def emit(_: InputRequest) -> None:
        pass

    def close() -> None:
        other = threading.Thread(target=ask)
        other.start()
        other.join(END_SECONDS)
        clocks.append("go on")

    questions = Questions(
        Fence(SessionKey("tenant", "session"), 1, "run"),
        bench.store,
        bench.runner.loops.io,
        timeout_seconds=END_SECONDS,
        opened=lambda: clocks.append("stop"),
        closed=close,
    )
    questions.ask(lambda name: InputRequest(name, "first?"), emit).cancel()
    assert clocks == ["stop", "go on"]
    questions.ask(lambda name: InputRequest(name, "third?"), emit)
    assert clocks == ["stop", "go on", "stop"]
    questions.withdraw()
    bench.runner.close(10)
