"""Questions of MCP servers that come at the same time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.agents.test_mcp import CALL_SECONDS, TURN_SECONDS, call, rigged, stdio
from tests.support.turns import events_of
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.agents.tools import AnyTool
from wsgi_app.events import InputRequest


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
