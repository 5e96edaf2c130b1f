"""Frameworks whose runs are recorded with the turn: their turns outlive their workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents import outliving
from tests.support.resumed import BOUNDARIES, Rig, resuming

APP = "tests.support.resumed_frameworks_app:frameworks_app()"
KINDS = ["pydantic-ai", "sdk", "sdk-session"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One host of two workers, whose lease no test waits for."""
    folder = tmp_path_factory.mktemp("resumed")
    settings = {"AGENT_LEASE_SECONDS": "60", "MEMORY_FOLDER": str(folder)}
    with resuming(folder, app=APP, env=settings, frameworks=True) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_turn_goes_on_at_each_boundary(rig: Rig, framework: str, boundary: str) -> None:
    """Whenever the model is asked, a turn goes on, and no tool runs twice."""
    outliving.goes_on_at(rig, framework, boundary)


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
def test_a_call_in_flight_is_reported(rig: Rig, framework: str) -> None:
    """A tool whose worker died in it is not run again: the model hears that nobody knows."""
    outliving.is_told(rig, framework)


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
def test_a_call_in_flight_is_tried_again(rig: Rig, framework: str) -> None:
    """A tool that may run again does so, with the same key and another attempt."""
    outliving.is_tried_again(rig, framework)


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
def test_finished_calls_of_a_step_stay(rig: Rig, framework: str) -> None:
    """Of calls at the same time, one that had ended is not run again, one in flight is told."""
    outliving.finished_calls_stay(rig, framework)


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
def test_the_user_decides_about_a_call(rig: Rig, framework: str) -> None:
    """Of a tool that asks, a call in flight is a question; yes runs it again, with its key."""
    outliving.is_decided(rig, framework)


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
def test_an_approval_outlives_its_worker(rig: Rig, framework: str) -> None:
    """A call that waits for its approval has not begun: its question stays, and runs it once."""
    outliving.question_stays(rig, framework, "pay")


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
def test_an_approval_that_takes_long_has_no_thread(rig: Rig, framework: str) -> None:
    """The turn rests, and the answer runs the call once, in the same worker."""
    outliving.question_rests(rig, framework, "pay")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("framework", KINDS)
def test_kills_at_random_moments(rig: Rig, framework: str) -> None:
    """Whenever its worker is killed, a turn has its exact text, and no effect twice."""
    outliving.random_kills(rig, framework)
