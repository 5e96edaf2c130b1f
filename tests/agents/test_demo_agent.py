"""The demo agent and its arithmetic."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.turns import TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app.agents.arithmetic import evaluate, find_expression
from wsgi_app.agents.demo import MAX_COUNT, WORD_SECONDS, _say, demo_agent
from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    InputRequest,
    Thinking,
    Token,
    ToolCall,
    ToolResult,
)

#: No input may keep a worker's other turns waiting for longer.
SOON_SECONDS = 0.5


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words follow each other faster than a reader wants them."""
    monkeypatch.setattr(_say, "__defaults__", (WORD_SECONDS / 20,))


@pytest.fixture(scope="module")
def bench() -> TurnBench:
    """An engine for the module's turns."""
    return TurnBench()


def reply_of(events: list[AnyEvent]) -> str:
    """The reply, which all tokens make up."""
    done = events[-1]
    assert isinstance(done, Done)
    assert "".join(event.content for event in events if isinstance(event, Token)) == done.reply
    return done.reply


def test_a_calculation_is_thought_about_calculated_and_answered(bench: TurnBench) -> None:
    """The calculator really runs, its result is in the answer, which says that this is a demo."""
    events = bench.run(demo_agent, "what is 12*34?")
    thinking, call, result, *rest = events
    assert isinstance(thinking, Thinking)
    assert isinstance(call, ToolCall)
    assert (call.tool, call.input) == ("calculator", {"expression": "12*34"})
    assert isinstance(result, ToolResult)
    assert (result.call_id, result.output, result.status) == (call.call_id, 408, "complete")
    assert all(isinstance(event, Token) for event in rest[:-1])
    assert len(rest) > 5
    assert "408" in reply_of(events)
    assert "demo" in reply_of(events)


def test_a_question_about_the_time_is_answered_by_the_clock(bench: TurnBench) -> None:
    """The clock's output is in the answer."""
    events = bench.run(demo_agent, "What time is it?")
    assert isinstance(events[1], ToolCall)
    assert events[1].tool == "clock"
    assert isinstance(events[2], ToolResult)
    assert events[2].output.endswith(" UTC")
    assert events[2].output in reply_of(events)


def test_a_calculation_that_fails_is_reported(bench: TurnBench) -> None:
    """The tool's error is an event, and the answer gives the reason."""
    events = bench.run(demo_agent, "2 ** 10000000000")
    assert isinstance(events[2], ToolResult)
    assert events[2].status == "error"
    assert "too large" in reply_of(events)


@pytest.mark.parametrize("message", ["Hello!", "¿Qué?", "🙂", "2026-11-20"])
def test_anything_else_gets_an_answer_that_helps(bench: TurnBench, message: str) -> None:
    """The demo says what it can do."""
    reply = reply_of(bench.run(demo_agent, message))
    assert "demo" in reply
    assert "OPENAI_API_KEY" in reply


@pytest.mark.parametrize("message", ["count to 200", "Tell me a long story, please."])
def test_a_long_answer_is_slow_and_stops_at_once(bench: TurnBench, message: str) -> None:
    """There is time to try the stop button, and it works at once."""
    run = bench.start(demo_agent, message)
    wait_for(lambda: run.log.last_seq > 5, "some tokens")
    assert not run.ended
    assert sum(isinstance(event, Token) for event in events_of(run)) < 20
    cancelled_at = time.monotonic()
    run.cancel("user")
    wait_for(lambda: run.thread and not run.thread.is_alive(), "the turn's thread has ended")
    assert time.monotonic() - cancelled_at < SOON_SECONDS
    assert run.wait_ended(10)
    assert events_of(run)[-1] == Cancelled("user")


def test_a_count_has_an_end(bench: TurnBench) -> None:
    """A count beyond the limit is declined, not begun."""
    assert str(MAX_COUNT) in reply_of(bench.run(demo_agent, "count to 999999999"))


@pytest.mark.parametrize(
    ("message", "expression"),
    [
        ("what is 12*34?", "12*34"),
        ("12 x 34", "12 * 34"),
        ("12 × 34 =", "12 * 34"),  # noqa: RUF001 - as people write it
        ("Please compute (1+2)/3.", "(1+2)/3"),
        ("-3 - -4, thanks", "-3 - -4"),
        ("2^10", "2**10"),
        ("1.5 ÷ .5", "1.5 / .5"),
        ("I have 3 apples", None),
        ("count to 200", None),
        ("see 2026-11-20", None),
        ("call 555-0100", "555-0100"),
        ("", None),
    ],
)
def test_arithmetic_is_found_in_a_sentence(message: str, expression: str | None) -> None:
    """Common signs become Python's; a single number or a date is no calculation."""
    assert find_expression(message) == expression


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("12*34", 408),
        (" (1 + 2) * -3 ", -9),
        ("7 / 2", 3.5),
        ("7 // 2", 3),
        ("-7 % 3", 2),
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("2 ** -(10**300)", 0.0),
        ("2 ** 0.5", 2**0.5),
        ("0 ** 99999999999", 0),
        ("(-1) ** 99999999999", -1),
        ("1e3", 1000.0),
    ],
)
def test_arithmetic_is_evaluated_as_python_does(expression: str, value: float) -> None:
    """Numbers, brackets and the seven operators."""
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9**9",
        "99999999 ** 99999999",
        "(2**1000) * (2**1000)",
        "2.0 ** 99999",
        "1e308 * 10",
        "(-8) ** 0.5",
        "0 ** -1",
        "1 / 0",
        "1 % 0",
        "9" * 250,
        "(" * 100 + "1" + ")" * 99,
        "-" * 199 + "1" + "+",
        "__import__('os')",
        "(1).real",
        "[1][0]",
        "'a' * 9",
        "1 if 1 else 2",
        "x := 1",
        "1 << 99",
        "1j",
        "",
        "05",
        "\0",
    ],
)
def test_what_is_no_arithmetic_or_too_much_is_refused_at_once(expression: str) -> None:
    """Nothing but bounded arithmetic is ever evaluated."""
    started_at = time.monotonic()
    with pytest.raises(ValueError, match=r"."):
        evaluate(expression)
    assert time.monotonic() - started_at < SOON_SECONDS


@given(st.text("0123456789.+-*/%() ", max_size=200))
def test_no_expression_does_more_than_fail(expression: str) -> None:
    """Whatever the signs make up, there is a bounded number or a ValueError."""
    try:
        value: Any = evaluate(expression)
    except ValueError:
        return
    assert abs(value) < 2**1025


@pytest.mark.parametrize("unit", ["(", "1", "1 ", "-", "1*", "count ", "count to ", "x", "\n"])
def test_a_long_message_is_looked_through_at_once(bench: TurnBench, unit: str) -> None:
    """The longest message that the host takes costs no noticeable time."""
    started_at = time.thread_time()  # of this thread alone: others may be busy
    find_expression(unit * 32_000)
    assert time.thread_time() - started_at < SOON_SECONDS
    run = bench.start(demo_agent, unit * (32_000 // len(unit)))
    wait_for(lambda: run.log.last_seq > 1, "the answer's beginning")
    run.cancel("user")


@pytest.mark.parametrize(("value", "said"), [(b"true", "nut is deleted"), (b"false", "left it")])
def test_a_deletion_is_asked_for(bench: TurnBench, value: bytes, said: str) -> None:
    """Before it deletes it asks; a yes deletes, a no is told."""
    run = bench.start(demo_agent, "please delete the nut")
    wait_for(lambda: run.questions.waiting, "it asks")
    (asked,) = [one.event for one in run.log.read(0, 99) if isinstance(one.event, InputRequest)]
    assert "delete_article" in asked.prompt
    assert "nut" in asked.prompt
    bench.store.post_input(run.fence.key, asked.request_id, value)
    assert run.wait_ended(10)
    assert isinstance(run.terminal, Done)
    assert said in run.terminal.reply
