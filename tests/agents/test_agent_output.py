"""What an agent sends twice or says nothing with, and what it gets of the turns before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.turns import END_SECONDS, TurnBench, events_of
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.events import AnyEvent, Error, Thinking, ToolCall, ToolResult
from wsgi_app.store.base import SessionKey

KEY = SessionKey("tenant", "session")
CALL = ToolCall("add", "c1", {"a": 1})
RESULT = ToolResult("add", "c1", 2)


def run(bench: TurnBench, *items: Any) -> list[AnyEvent]:
    """Run a turn of one session that sends these."""

    def answer(_: Turn) -> Iterator[Any]:
        yield from items

    started = bench.start(answer, key=KEY)
    assert started.wait_ended(END_SECONDS)
    return events_of(started)


def next_turn(bench: TurnBench) -> Turn:
    """The turn that comes next, as its agent sees it."""
    seen: list[Turn] = []
    started = bench.start(seen.append, "next", key=KEY)
    assert started.wait_ended(END_SECONDS)
    return seen[0]


def test_empty_text_is_no_event() -> None:
    """Frameworks send empty pieces; clients get none."""
    bench = TurnBench()
    events = run(bench, "", "a", Thinking(""), "")
    assert [type(event).__name__ for event in events] == ["Token", "Done"]
    bench.runner.close(10)


def test_a_call_sent_twice_is_one() -> None:
    """A call that runs and is told again is one event, and one call in the history."""
    bench = TurnBench()
    events = run(bench, CALL, CALL, RESULT, "done")
    assert [type(event).__name__ for event in events] == ["ToolCall", "ToolResult", "Token", "Done"]
    calls = [m["tool_calls"] for m in next_turn(bench).history if "tool_calls" in m]
    assert [len(made) for made in calls] == [1]
    bench.runner.close(10)


def test_two_calls_at_once_have_two_ids() -> None:
    """Another call under the id of one that runs is an error that says so; later it is not."""
    bench = TurnBench()
    assert isinstance(run(bench, CALL, RESULT, CALL, RESULT)[-1], Error) is False
    last = run(bench, CALL, ToolCall("add", "c1", {"a": 2}))[-1]
    assert isinstance(last, Error)
    assert last.message == "The agent sent two calls at once with the same id."
    bench.runner.close(10)


def test_plain_history_is_text_alone() -> None:
    """`plain_history` has a role and a content for each message, and no calls."""
    bench = TurnBench()
    run(bench, "I add. ", CALL, RESULT, "It is 2.")
    turn = next_turn(bench)
    assert turn.plain_history == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "I add. It is 2."},
    ]
    assert len(turn.history) == 4
    bench.runner.close(10)


def test_old_names_of_a_turn_work_and_warn() -> None:
    """Attributes renamed in 0.2 work by their old names, with a warning of the new one."""
    bench = TurnBench()
    run(bench, "hello")
    turn = next_turn(bench)
    with pytest.warns(DeprecationWarning, match="turn.plain_history"):
        assert turn.said == turn.plain_history
    with pytest.warns(DeprecationWarning, match="turn.ephemeral"):
        assert turn.passing is turn.ephemeral
    bench.runner.close(10)
