"""Tools that run at the same time, take too long, ask first, or outlive their turn."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.each import each
from tests.support.turns import TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app.agents.approvals import approve
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.toolbox import MAX_CALLS_AT_ONCE, Toolbox
from wsgi_app.agents.tools import Tool
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.errors import TurnError
from wsgi_app.events import Cancelled, Done, Error, InputRequest, ToolCall, ToolResult
from wsgi_app.nesting import MAX_DEPTH

WAIT_SECONDS = 30.0


@pytest.fixture
def bench() -> Iterator[TurnBench]:
    """The engine."""
    bench = TurnBench()
    yield bench
    bench.runner.close(10)


def start(bench: TurnBench, tools: list[Any], *calls: tuple[str, dict[str, Any]]) -> TurnRun:
    """Start a turn that makes these calls in one step, their ids from 1."""
    toolbox = Toolbox(tools)
    requests = [
        CallRequest(str(number), name, json.dumps(arguments))
        for number, (name, arguments) in enumerate(calls, 1)
    ]
    return bench.start(lambda turn: toolbox.run(turn, requests))


def results(run: TurnRun) -> dict[str, ToolResult]:
    """A finished turn's results by their call's id."""
    assert run.wait_ended(WAIT_SECONDS)
    return {event.call_id: event for event in events_of(run) if isinstance(event, ToolResult)}


def pending_question(run: TurnRun) -> InputRequest | None:
    """The question that waits, if its event is out."""
    asked = [event for event in events_of(run) if isinstance(event, InputRequest)]
    return next((one for one in asked if run.questions.is_pending(one.request_id)), None)


def answer(bench: TurnBench, run: TurnRun, value: Any) -> InputRequest:
    """Wait for the turn's next question and answer it."""
    question = wait_for(lambda: pending_question(run), "a question")
    assert question is not None
    bench.store.post_input(run.fence.key, question.request_id, json.dumps(value).encode())
    wait_for(lambda: not run.questions.is_pending(question.request_id), "the answer is taken")
    return question


def meet(parties: int) -> Callable[..., Any]:
    """A tool that returns only once so many calls of it are there."""
    barrier = threading.Barrier(parties)

    def wait_for_others(number: int) -> int:
        """Wait."""
        barrier.wait(WAIT_SECONDS)
        return number

    return wait_for_others


def test_calls_of_one_step_run_at_the_same_time(bench: TurnBench) -> None:
    """Tools that wait for each other end, and each result bears its own call's id."""
    calls = [("wait_for_others", {"number": number}) for number in range(5)]
    run = start(bench, [meet(5)], *calls)
    found = results(run)
    assert {call_id: result.output for call_id, result in found.items()} == {
        str(number + 1): number for number in range(5)
    }
    assert [type(event) for event in events_of(run)[:5]] == [ToolCall] * 5


def test_a_bounded_number_of_calls_runs_at_once(bench: TurnBench) -> None:
    """A step with many calls gets their results without as many threads."""
    running: set[int] = set()
    most: list[int] = []

    def count(number: int) -> int:
        """Count those that run."""
        running.add(number)
        most.append(len(running))
        time.sleep(0.01)  # long enough for the others to start
        running.discard(number)
        return number

    many = 3 * MAX_CALLS_AT_ONCE
    found = results(start(bench, [count], *[("count", {"number": n}) for n in range(many)]))
    assert len(found) == many
    assert max(most) <= MAX_CALLS_AT_ONCE


def test_a_fast_result_does_not_wait_for_a_slow_one(bench: TurnBench) -> None:
    """A result is sent when it is there, though a call before it still runs."""
    go_on = threading.Event()

    def slow() -> str:
        """Take long."""
        go_on.wait(WAIT_SECONDS)
        return "slow"

    def fast() -> str:
        """Take no time."""
        return "fast"

    run = start(bench, [slow, fast], ("slow", {}), ("fast", {}))
    wait_for(lambda: run.log.last_seq == 3, "the fast result")
    assert events_of(run)[-1] == ToolResult("fast", "2", "fast")
    go_on.set()
    assert results(run)["1"].output == "slow"


def test_a_tool_that_takes_too_long_is_an_error_for_the_model(bench: TurnBench) -> None:
    """Sync or async, alone or beside others: the call fails after its time, the turn goes on."""
    go_on = threading.Event()

    def stuck() -> None:
        """Never return in time."""
        go_on.wait(WAIT_SECONDS)

    async def stuck_async() -> None:
        """Ignore its cancel."""
        while not go_on.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    tools = [Tool(stuck, timeout_seconds=0.1), Tool(stuck_async, timeout_seconds=0.1)]
    for names in (["stuck"], ["stuck_async"], ["stuck", "stuck_async"]):
        run = start(bench, tools, *[(name, {}) for name in names])
        for result in each(results(run).values(), len(names)):
            assert result.status == "error"
            assert result.output == {"error": "TimeoutError: no result within 0.1 s"}
        assert isinstance(events_of(run)[-1], Done)
    go_on.set()


def test_a_tools_own_timeout_error_is_reported_as_it_is(bench: TurnBench) -> None:
    """TimeoutError of the function itself is not taken for the host's."""

    def connect() -> None:
        """Fail at once."""
        raise TimeoutError("the database does not answer")

    run = start(bench, [Tool(connect, timeout_seconds=20)], ("connect", {}))
    assert results(run)["1"].output == {"error": "TimeoutError: the database does not answer"}


def test_a_cancel_does_not_wait_for_tools_that_ignore_it(bench: TurnBench) -> None:
    """The turn ends at once; a tool that asks learns of it, the others count as abandoned."""
    go_on, learnt = threading.Event(), threading.Event()

    def deaf() -> None:
        """Ignore everything."""
        go_on.wait(WAIT_SECONDS)

    def polite(turn: Turn) -> None:
        """Check now and then."""
        try:
            while True:
                turn.check()
                time.sleep(0.01)  # a tool at work
        finally:
            learnt.set()

    run = start(bench, [deaf, polite], ("deaf", {}), ("polite", {}))
    wait_for(lambda: run.log.last_seq == 2, "both calls")
    assert bench.runner.cancel(run.fence.key, None, "user") == [1]
    assert events_of(run)[-1] == Cancelled("user")
    assert learnt.wait(WAIT_SECONDS)
    assert run.goes_on()
    go_on.set()
    wait_for(lambda: not run.goes_on(), "no thread of the turn goes on")


def test_a_tool_may_end_the_turn_from_any_thread(bench: TurnBench) -> None:
    """TurnError of one of several calls ends the turn with its message."""

    def stop() -> None:
        """End the turn."""
        raise TurnError("The account is locked.")

    def go() -> int:
        """Go on."""
        return 1

    run = start(bench, [stop, go], ("go", {}), ("stop", {}))
    assert run.wait_ended(WAIT_SECONDS)
    assert events_of(run)[-1] == Error("agent_error", "The account is locked.")


def delete_file(name: str) -> str:
    """Delete a file."""
    return f"deleted {name}"


@pytest.mark.parametrize(
    ("reply", "status", "output"),
    [
        (True, "complete", "deleted a.txt"),
        ("yes", "complete", "deleted a.txt"),
        (False, "error", {"error": "the user did not allow this call"}),
        ({"any": "thing"}, "error", {"error": "the user did not allow this call"}),
        ("keep it", "error", {"error": "the user did not allow this call: keep it"}),
    ],
)
def test_an_approved_tool_asks_before_each_call(
    bench: TurnBench, reply: Any, status: str, output: Any
) -> None:
    """A yes lets it run; anything else is an error for the model, with the user's words."""
    run = start(bench, [approve(delete_file)], ("delete_file", {"name": "a.txt"}))
    question = answer(bench, run, reply)
    assert question.prompt == 'Allow delete_file({"name": "a.txt"})?'
    assert question.schema == {"type": "boolean", "x-call-id": "1"}
    result = results(run)["1"]
    assert (result.status, result.output) == (status, output)


def run_command(command: str, options: dict[str, Any]) -> str:
    """Run a command."""
    return f"ran {command} {options}"


def test_an_approval_shows_the_value_that_the_tool_gets(bench: TurnBench) -> None:
    """Of a key that the model wrote twice the one is shown that the call runs with."""
    text = '{"name": "draft.txt", "name": "thesis.txt"}'
    toolbox = Toolbox([approve(delete_file)])
    run = bench.start(lambda turn: toolbox.run(turn, [CallRequest("1", "delete_file", text)]))
    question = answer(bench, run, value=True)
    assert question.prompt == 'Allow delete_file({"name": "thesis.txt"})?'
    assert results(run)["1"].output == "deleted thesis.txt"


def test_no_argument_hides_behind_another(bench: TurnBench) -> None:
    """Every key is shown, inner ones too; a long value by its start, its end and its length."""
    command = f"ls {' ' * 2000}; rm -rf /"
    options = {"note": "x" * 5000, "deep": {"padding": "y" * 5000, "force": True}}
    run = start(
        bench, [approve(run_command)], ("run_command", {"command": command, "options": options})
    )
    prompt = answer(bench, run, value=False).prompt
    assert '; rm -rf /" (2013 characters)' in prompt
    assert '(5000 characters), "force": true}' in prompt
    assert len(prompt) < 2000


def test_an_approval_shows_what_no_eye_sees(bench: TurnBench) -> None:
    """Characters that turn the order of the text or take no room are written out."""
    run = start(
        bench, [approve(delete_file)], ("delete_file", {"name": "a\u202etxt.\u200bb\u3000"})
    )
    prompt = answer(bench, run, value=False).prompt
    assert prompt == 'Allow delete_file({"name": "a\\u202etxt.\\u200bb\\u3000"})?'


def test_a_question_that_is_cut_says_so(bench: TurnBench) -> None:
    """More keys than a person reads end with how much is not shown."""
    options = {f"option-{number}": "z" * 200 for number in range(200)}
    call = ("run_command", {"command": "ls", "options": options})
    prompt = answer(bench, start(bench, [approve(run_command)], call), value=False).prompt
    assert prompt.endswith(" more characters are NOT shown))?")


def test_bad_arguments_are_refused_before_anybody_is_asked(bench: TurnBench) -> None:
    """The user is not bothered with a call that cannot run."""
    run = start(bench, [approve(delete_file)], ("delete_file", {"path": "a.txt"}))
    assert results(run)["1"].status == "error"
    assert not any(isinstance(event, InputRequest) for event in events_of(run))


def test_questions_of_tools_at_the_same_time_come_one_after_the_other(bench: TurnBench) -> None:
    """Each of several calls that ask gets its own answer, sync and async alike."""

    async def ask_later(turn: Turn, name: str) -> str:
        """Ask from the loop."""
        return f"{name}={await turn.ask_async(name)}"

    def ask_now(turn: Turn, name: str) -> str:
        """Ask from a thread."""
        return f"{name}={turn.ask(name)}"

    names = ["a", "b", "c", "d"]
    calls = [("ask_now" if name < "c" else "ask_later", {"name": name}) for name in names]
    run = start(bench, [ask_now, ask_later], *calls)
    asked = {answer(bench, run, number).prompt: number for number in range(4)}
    outputs = {result.output for result in results(run).values()}
    assert outputs == {f"{name}={asked[name]}" for name in names}


def test_a_cancel_ends_all_questions(bench: TurnBench) -> None:
    """Calls that wait for their turn to ask are freed with the one that asks."""

    def ask(turn: Turn) -> Any:
        """Ask."""
        return turn.ask("well?")

    run = start(bench, [ask], *[("ask", {})] * 4)
    wait_for(lambda: run.questions.waiting, "the first question")
    bench.runner.cancel(run.fence.key, None, "user")
    wait_for(lambda: not run.goes_on(), "no thread of the turn goes on")
    assert sum(isinstance(event, InputRequest) for event in events_of(run)) == 1


@pytest.mark.parametrize("leave", [SystemExit(2), asyncio.CancelledError()])
def test_a_tool_that_leaves_its_program_leaves_only_its_call(
    bench: TurnBench, leave: BaseException
) -> None:
    """What command line code raises to end itself is an error of the call, sync or async."""

    def sync_tool() -> None:
        raise leave

    async def async_tool() -> None:
        raise leave

    run = start(bench, [sync_tool, async_tool], ("sync_tool", {}), ("async_tool", {}))
    statuses = [result.status for result in results(run).values()]
    assert statuses == ["error", "error"]
    assert isinstance(run.terminal, Done)


def nested(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(("levels", "status"), [(MAX_DEPTH - 3, "complete"), (150, "error")])
def test_data_that_is_nested_too_deep_costs_only_its_call(
    bench: TurnBench, levels: int, status: str
) -> None:
    """Arguments and outputs that no event can hold are errors for the model to mend."""

    def give(levels: int) -> Any:
        return nested(levels)

    def take(value: Any) -> str:
        return type(value).__name__

    calls = [("give", {"levels": levels}), ("take", {"value": nested(levels)})]
    run = start(bench, [give, take], *calls)
    assert [result.status for result in results(run).values()] == [status] * 2
    assert isinstance(run.terminal, Done)


def test_no_end_of_faulty_arguments_is_reported_in_brief(bench: TurnBench) -> None:
    """Telling each of a hundred thousand faults would hold up all other turns for seconds."""

    def add_all(numbers: list[int]) -> int:
        return sum(numbers)

    run = start(bench, [add_all], ("add_all", {"numbers": ["x"] * 100_000}))
    assert results(run)["1"].output == {"error": "bad arguments: 100000 faults"}


def test_a_tools_exception_is_in_the_log_and_a_refusal_is_not(
    bench: TurnBench, caplog: pytest.LogCaptureFixture
) -> None:
    """The site finds its tool's fault with a traceback; a bad call is the model's alone."""

    def broken(number: int) -> None:
        """Fail."""
        raise KeyError(f"table {number} is missing")

    with caplog.at_level(logging.WARNING, "wsgi_app"):
        results(start(bench, [broken], ("broken", {"number": "x"}), ("nowhere", {})))
        assert caplog.text == ""
        results(start(bench, [broken], ("broken", {"number": 1})))
    assert "tool broken failed in turn 1" in caplog.text
    assert 'raise KeyError(f"table {number} is missing")' in caplog.text
