"""What a turn's client gives as the results of its tools."""

from __future__ import annotations

from typing import Any

from wsgi_app.engine.turn.client_tools import NOT_GIVEN, TOO_DEEP, results_of
from wsgi_app.events import RequestedCall
from wsgi_app.nesting import MAX_DEPTH

CALLS = [RequestedCall("a", "look", {}), RequestedCall("b", "look", {})]


def nested(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_a_result_that_no_event_can_hold_costs_only_its_call() -> None:
    """It is an error for the model, and no end of the turn."""
    deep = {"call_id": "a", "output": nested(MAX_DEPTH)}
    fine = {"call_id": "b", "output": nested(MAX_DEPTH - 3)}
    first, second = results_of(CALLS, [deep, fine])
    assert (first.output, first.status) == (TOO_DEEP, "error")
    assert (second.output, second.status) == (nested(MAX_DEPTH - 3), "complete")


def test_any_json_may_come_as_an_answer() -> None:
    """What is no result of a call is none."""
    answers: list[Any] = [None, 1, "x", {}, [], [1, None, []], [{"call_id": ["a"]}, {"index": -1}]]
    for answer in answers:
        assert [one.output for one in results_of(CALLS, answer)] == [NOT_GIVEN] * 2
