"""Tools that their server runs as tasks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mcp_rig import TURN_SECONDS, Rig, call, rigged, statuses_in, stdio
from tests.support.processes import ROOT
from tests.support.waiting import wait_for
from wsgi_app.agents.tool_call import CallRefused

PROGRAM = str(ROOT / "tests/support/mcp_task_server.py")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server with a tool that runs as a task alone."""
    notes = tmp_path_factory.mktemp("mcp") / "notes"
    with rigged(notes, stdio(notes, program=PROGRAM)) as rig:
        rig.turn(lambda _, tools: tools)
        yield rig


def test_a_task_is_asked_for_until_it_is_over(rig: Rig) -> None:
    """What the server says of it is a status, its result that of the call."""
    done = rig.answered("study", arguments='{"topic": "tea"}')
    assert done.result == "about tea"
    assert done.statuses == ["study: looking", "study: reading"]
    assert rig.call("plain") == "plain"


def test_a_task_that_fails_is_an_error_for_the_model(rig: Rig) -> None:
    """Its result says why."""
    error = rig.call("study", '{"topic": "fail"}')
    assert isinstance(error, CallRefused)
    assert str(error) == "about fail"


def test_a_stop_cancels_the_task(rig: Rig) -> None:
    """The turn ends at once, and the server is told; the next turn works."""
    before = len([line for line in rig.noted() if line.startswith("cancelled")])
    run = rig.start(lambda turn, tools: call(turn, tools["study"], '{"topic": "for ever"}'))
    wait_for(lambda: statuses_in(run), "the task runs", TURN_SECONDS)
    assert rig.turns.runner.cancel(run.fence.key, None, "user")
    wait_for(
        lambda: len([line for line in rig.noted() if line.startswith("cancelled")]) > before,
        "the server is told",
    )
    assert rig.call("plain") == "plain"


def test_a_task_beyond_its_time_is_cancelled_by_its_turn_alone(tmp_path: Path) -> None:
    """A call's time limit holds for each look at a task, not for the task."""
    notes = tmp_path / "notes"
    server = stdio(notes, program=PROGRAM, call_timeout_seconds=1)
    with rigged(notes, server) as rig:
        assert rig.call("study", '{"topic": "tea"}') == "about tea"


def test_a_server_without_tasks_is_not_asked_for_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its tool that needs one is left out, and the log says so."""
    notes = tmp_path / "notes"
    caplog.set_level(logging.WARNING)
    with rigged(notes, stdio(notes, {"NO_TASKS": "1"}, program=PROGRAM, name="it")) as rig:
        assert rig.turn(lambda _, tools: list(tools)) == ["plain"]
    assert "runs no tasks, which these tools need: ['study']" in caplog.text
