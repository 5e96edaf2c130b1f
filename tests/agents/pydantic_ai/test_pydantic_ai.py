"""Agents of Pydantic AI, hosted as they are."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from flask import Flask
from pydantic_ai import (
    Agent,
    BinaryContent,
    NativeOutput,
    RunContext,
    UsageLimits,
)
from pydantic_ai.models import Model

from tests.agents.bench import Host
from tests.agents.pydantic_ai.parts import (
    API,
    END_STEP,
    TOOLS,
    Point,
    call_of,
    hosted,
    types_of,
)
from tests.support.documentation import block
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    AnyStep,
    Call,
    Raw,
    Text,
    ToolCalls,
)
from tests.support.waiting import wait_for
from wsgi_app import AgentHost, Turn, current_turn
from wsgi_app.agents.pydantic_ai import PydanticAIAgent
from wsgi_app.errors import TurnError
from wsgi_app.store.base import SessionKey


@pytest.mark.slow
def test_a_cancel_at_a_bad_moment_leaves_no_task(host: Host, model: Model) -> None:
    """No task waits for ever when a cancel comes while Pydantic AI begins the next one."""
    choose = random.Random(1)  # noqa: S311 - no secret
    slow = (Text(("Well.",) * 20, pace_seconds=0.02),)
    bench = host(hosted(model, *TOOLS), max_turns_per_tenant=100)
    for _ in range(40):
        runs = [bench.start(slow) for _ in range(8)]
        time.sleep(choose.uniform(0, 0.4))  # the random point is a moment, not a condition
        for run in runs:
            bench.turns.runner.cancel(run.fence.key, None, "user")
        wait_for(lambda: bench.turns.runner.loops.count_tasks() == 0, "no task", 20)


def test_waiting_tools_do_not_hold_up_others(host: Host, model: Model) -> None:
    """Fifty tools that wait for their users leave threads for the next one."""
    bench = host(hosted(model, *TOOLS), max_turns_per_tenant=100)
    waiting = [bench.start(call_of("pick_colour"), END_STEP) for _ in range(50)]
    wait_for(lambda: all(run.questions.waiting for run in waiting), "50 questions", 60)
    *_, end = bench.talk(call_of("add", '{"a": 1, "b": 2}'), END_STEP)
    assert end["type"] == "done"
    for run in waiting:
        bench.turns.runner.cancel(run.fence.key, None, "user")


SECRET_ERROR = {"error": {"message": "upstream-secret-text"}}


@API
def test_a_malformed_answer(host: Host, model: Model) -> None:
    """What is no event of the API ends the turn with upstream_error, and without its text."""
    *_, end = host(hosted(model)).talk((Text(("Half",)), Raw("data: upstream-secret-text\n\n")))
    assert (end["code"], end["retryable"]) == ("upstream_error", True)
    assert end["message"] == "The model provider sent a malformed answer."


def test_an_answer_that_is_of_no_use(host: Host, model: Model) -> None:
    """A model that does not come to the structure it is asked for ends with upstream_error."""
    bench = host(hosted(model, output_type=NativeOutput(Point)))
    *_, end = bench.talk((Text(("no structure",)),))
    assert end["code"] == "upstream_error"
    assert end["message"] == "The model gave no answer that the agent can use."


def test_the_history_reaches_the_provider(host: Host, model: Model, upstream: Upstream) -> None:
    """What was said and done in earlier turns is in the request, under the system prompt."""
    call = {
        "id": "c0",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a":1,"b":2}'},
    }
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "What is 1 + 2?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c0", "content": "3"},
        {"role": "assistant", "content": "3."},
    ]
    agent = hosted(model, *TOOLS, system_prompt="You add.")

    def answer(turn: Turn) -> Any:
        turn.history = history
        return agent(turn)

    host(answer).talk(END_STEP)
    messages = upstream.requests[-1].body["messages"]
    assert messages[0] == {"role": "system", "content": "You add."}
    assert messages[1:-1] == history


def test_a_session_goes_on(host: Host, model: Model, upstream: Upstream) -> None:
    """The second turn of a session has the first one in its request, and one system prompt."""
    bench = host(hosted(model, system_prompt="You add."))
    key = SessionKey("tenant", "session")
    bench.talk((Text(("First.",)),), key=key)
    bench.talk((Text(("Second.",)),), key=key)
    messages = upstream.requests[-1].body["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == "First."


def test_a_limit_of_ones_own(host: Host, model: Model) -> None:
    """A model that goes on calling tools is stopped at the agent's own limit.

    Calls of the same id in several steps are told each.
    """
    limits = UsageLimits(request_limit=2)
    agent = PydanticAIAgent(Agent(model, tools=list(TOOLS)), usage_limits=limits)
    events = host(agent).talk(call_of("add", '{"a": 1, "b": 2}'))
    assert types_of(events) == ["tool_call", "tool_result"] * 2 + ["error"]
    assert (events[-1]["code"], events[-1]["details"]) == ("step_limit", {"max_steps": 2})


def test_another_limit(host: Host, model: Model) -> None:
    """A limit on tokens is no step limit."""
    agent = PydanticAIAgent(Agent(model), usage_limits=UsageLimits(output_tokens_limit=1))
    *_, end = host(agent).talk(END_STEP)
    assert end["code"] == "agent_error"
    assert end["message"] == "The turn needs more than its usage limits allow."


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (call_of("nothing"), "Unknown tool name: 'nothing'"),
        (call_of("add", '{"a": "x", "b": 2}'), "unable to parse string as an integer"),
        (call_of("add", '{"a": '), "Invalid JSON"),
    ],
)
def test_bad_calls_are_reported_to_the_model(
    host: Host, model: Model, step: tuple[AnyStep, ...], error: str
) -> None:
    """A call that cannot be made fails, and the model goes on."""
    call, result, *_, end = host(hosted(model, *TOOLS)).talk(step, END_STEP)
    assert isinstance(call["input"], dict)
    assert result["status"] == "error"
    assert error in result["output"]["error"]
    assert end["reply"] == "Done."


def test_a_tools_exception_ends_the_run(host: Host, model: Model) -> None:
    """As Pydantic AI has it, what a tool raises is not the model's to mend; a TurnError is told."""

    def stop(reason: str) -> str:
        """Stop."""
        if reason:
            raise TurnError("That is enough.", {"why": reason})
        raise OSError("secret")

    bench = host(hosted(model, stop))
    for reason, message in (("test", "That is enough."), ("", "The agent failed.")):
        arguments = json.dumps({"reason": reason})
        events = bench.talk(call_of("stop", arguments), END_STEP)
        assert types_of(events) == ["tool_call", "error"]
        assert (events[-1]["code"], events[-1]["message"]) == ("agent_error", message)


async def look(ctx: RunContext[Any]) -> str:
    """Look around."""
    return f"{ctx.deps is current_turn()} {getattr(ctx.deps, 'session_id', ctx.deps)}"


def look_in_thread(ctx: RunContext[Any]) -> str:
    """Look around."""
    return str(ctx.deps is current_turn())


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, ["True session-1", "True"]),
        ({"deps": lambda turn: f"of {turn.tenant}"}, ["False of tenant", "False"]),
    ],
)
def test_what_tools_find(
    host: Host, model: Model, options: dict[str, Any], found: list[str]
) -> None:
    """A tool finds the turn in its deps and around it, in a thread too, or deps made for it."""
    agent = PydanticAIAgent(Agent(model, tools=[look, look_in_thread]), **options)
    calls = ToolCalls((Call("c1", "look", "{}"), Call("c2", "look_in_thread", "{}")))
    events = host(agent).talk((calls,), END_STEP)
    results = {e["call_id"]: e["output"] for e in events if e["type"] == "tool_result"}
    assert [results["c1"], results["c2"]] == found


@pytest.mark.parametrize(
    ("output_type", "step", "reply"),
    [
        (Point, (Text(("Look: ",)), *call_of("final_result", '{"x": 1}')), 'Look: {"x":1}'),
        (NativeOutput(Point), (Text(('{"x": ', "1}")),), '{"x": 1}'),
    ],
)
def test_a_structured_output_is_the_reply(
    host: Host, model: Model, output_type: Any, step: tuple[AnyStep, ...], reply: str
) -> None:
    """A structured output comes as JSON text, once, whether the model wrote text or a call."""
    events = host(hosted(model, output_type=output_type)).talk(step)
    assert set(types_of(events)) == {"token", "done"}
    assert events[-1]["reply"] == reply


def test_files_of_a_tool_are_named(host: Host, model: Model) -> None:
    """A tool's binary output goes to the model; the event names it."""

    def draw() -> list[Any]:
        """Draw."""
        return ["A picture:", BinaryContent(b"\xff\xd8", media_type="image/jpeg", identifier="p1")]

    _, result, *_ = host(hosted(model, draw)).talk(call_of("draw"), END_STEP)
    assert result["status"] == "complete"
    assert "See file p1." in json.dumps(result["output"])


def test_readme_shows_how(model: Model) -> None:
    """The page's lines mount an agent in an app, and it answers."""
    code = block("python", "PydanticAIAgent", "docs/frameworks.md")
    app = Flask("site")
    names = {"AgentHost": AgentHost, "app": app, "agent": Agent(model)}
    exec(code, names)  # noqa: S102 - the page's own code
    answer = app.test_client().post(
        "/pydantic/chat",
        json={"message": "hi"},
        headers={"Authorization": "Bearer dev", "Accept": "application/json"},
    )
    assert answer.json is not None
    assert answer.json["reply"] == "Hello from upstream"
