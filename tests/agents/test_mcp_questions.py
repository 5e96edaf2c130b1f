"""Questions of MCP servers that come at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.support.mcp_odd_server import PAGE
from tests.support.mcp_rig import (
    CALL_SECONDS,
    ODD_PROGRAM,
    TURN_SECONDS,
    Rig,
    call,
    rigged,
    stdio,
)
from tests.support.turns import events_of
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.agents.tool_call import CallRefused
from wsgi_app.agents.tools import AnyTool
from wsgi_app.events import InputRequest


@pytest.mark.slow
def test_the_second_of_two_questions_may_take_as_long_as_the_first(tmp_path: Path) -> None:
    """An answer to one call's question starts no clock of a call whose own question waits."""
    notes = tmp_path / "notes"
    picked: list[str] = []

    def talk(turn: Turn, tools: dict[str, AnyTool]) -> None:
        calls = [turn.start_thread(partial(call, turn, tools["pick_colour"])) for _ in range(2)]
        picked.extend(one.result(TURN_SECONDS) for one in calls)

    with rigged(notes, replace(stdio(notes), call_timeout_seconds=CALL_SECONDS)) as rig:
        run = rig.start(talk)

        def asked() -> list[InputRequest]:
            return [event for event in events_of(run) if isinstance(event, InputRequest)]

        for number, answer in enumerate([b'"red"', b'"blue"'], 1):
            wait_for(lambda: len(asked()) == number, "the question")  # noqa: B023 - waited for here
            assert not run.wait_ended(CALL_SECONDS + 0.3)
            rig.turns.store.post_input(run.fence.key, asked()[-1].request_id, answer)
        assert run.wait_ended(TURN_SECONDS)
    assert sorted(picked) == ["blue", "red"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server that asks, as the older protocol does."""
    notes = tmp_path_factory.mktemp("mcp") / "notes"
    server = stdio(notes, program=ODD_PROGRAM, name="it", protocol="legacy")
    with rigged(notes, server) as rig:
        rig.turn(lambda _, tools: tools)
        yield rig


def test_an_answer_that_does_not_fit_is_asked_for_again(rig: Rig) -> None:
    """The user is told what is wrong; a number that came as a text is one."""
    asked = rig.answered("pick_age", {"age": "old"}, "12")
    assert asked.result == 12
    first, second = [question["prompt"] for question in asked.questions]
    assert first == "How old?"
    assert second == "How old?\n(The answer does not fit: age: 'old' is not of type 'integer'.)"


def test_answers_that_never_fit_end_the_question(rig: Rig) -> None:
    """After three of them the server gets no answer, as if the user had gone."""
    asked = rig.answered("pick_age", {"age": "a"}, {}, [1, 2])
    assert isinstance(asked.result, ValueError)
    assert len(asked.questions) == 3


def test_a_page_that_a_call_needs_is_a_question_with_its_link(rig: Rig) -> None:
    """The call is made again once the user says that the page was opened."""
    refused = rig.answered("log_in", "no")
    assert isinstance(refused.result, CallRefused)
    assert PAGE in str(refused.result)
    (question,) = refused.questions
    assert question["prompt"].startswith(f"Please log in.\n{PAGE}\n")
    assert question["schema"] == {"type": "boolean", "x-url": PAGE}


def test_a_call_goes_on_after_its_page(tmp_path: Path) -> None:
    """Yes means that the page was opened: the call runs, once more."""
    notes = tmp_path / "notes"
    with rigged(notes, stdio(notes, program=ODD_PROGRAM, name="it", protocol="legacy")) as rig:
        asked = rig.answered("log_in", "done")
        assert asked.result == "logged in"
        assert rig.noted().count("asked for a page") == 2


def test_a_link_that_leads_nowhere_is_not_shown(rig: Rig) -> None:
    """Only pages of the web are asked for."""
    asked = rig.answered("mislead")
    assert isinstance(asked.result, CallRefused)
    assert asked.questions == []
