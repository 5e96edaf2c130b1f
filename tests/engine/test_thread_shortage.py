"""Turns of a worker that gets no more threads."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest

from tests.support.turns import END_SECONDS, TurnBench
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.engine.runtime import waits
from wsgi_app.events import Cancelled


def test_a_turn_ends_though_its_callbacks_get_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks of on_cancel that cannot run keep no end from the readers."""

    def refuse(_target: Callable[[], None], _name: str) -> Thread:
        raise RuntimeError("can't start new thread")

    def agent(turn: Turn) -> None:
        turn.on_cancel(lambda: None)
        turn.ask("?")

    bench = TurnBench()
    run = bench.start(agent)
    wait_for(lambda: run.questions.waiting, "the question")
    monkeypatch.setattr(waits, "start_thread", refuse)
    assert run.cancel("user")
    assert run.wait_ended(END_SECONDS)
    assert run.terminal == Cancelled("user")
    bench.runner.close(10)
