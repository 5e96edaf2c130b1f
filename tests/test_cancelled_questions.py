"""An agent that waits for an answer when its turn ends."""

from __future__ import annotations

from tests.support.turns import END_SECONDS, TurnBench
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.errors import TurnCancelled

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
