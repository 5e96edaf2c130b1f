"""What agents of Pydantic AI ask, and agents within agents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_ai import (
    Agent,
    CallDeferred,
    RunContext,
)
from pydantic_ai.capabilities import HandleDeferredToolCalls
from pydantic_ai.models import Model

from tests.agents.bench import Host, events_of, places_of
from tests.agents.pydantic_ai.parts import (
    API,
    DELETE,
    DELETE_STEP,
    END_STEP,
    TOOLS,
    hosted,
    types_of,
)
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    Call,
    Text,
    ToolCalls,
    Usage,
    scripted_message,
)
from wsgi_app import Status, current_turn
from wsgi_app.agents.pydantic_ai import PydanticAIAgent, SubAgent


@API
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (True, ("complete", "a.txt is gone")),
        ("yes", ("complete", "a.txt is gone")),
        (False, ("error", {"error": "The user did not allow this call."})),
        ("Rather b.txt", ("error", {"error": "Rather b.txt"})),
    ],
)
def test_an_approval_is_a_question(
    host: Host, model: Model, answer: Any, result: tuple[str, Any], *, upstream: Upstream
) -> None:
    """A tool that needs approval asks: yes runs it, anything else is the model's to know."""
    bench = host(hosted(model, DELETE, *TOOLS))
    run = bench.start(DELETE_STEP, END_STEP)
    bench.finish(run, answer)
    call, question, ended, _, end = events_of(run)
    assert (call["type"], call["input"]) == ("tool_call", {"name": "a.txt"})
    assert question["prompt"] == 'Allow delete({"name": "a.txt"})?'
    assert question["schema"] == {"type": "boolean", "x-call-id": "c1"}
    assert (ended["call_id"], ended["status"], ended["output"]) == ("c1", *result)
    assert end["usage"] == {"input_tokens": 8, "output_tokens": 3, "total_tokens": 11}
    told = result[1]["error"] if isinstance(result[1], dict) else result[1]
    assert told in json.dumps(upstream.requests[-1].body)


def test_each_deferred_call_is_asked(host: Host, model: Model) -> None:
    """Approvals, and calls that run elsewhere, are asked one after the other."""

    def weigh(name: str) -> str:  # noqa: ARG001 - for its schema
        """Weigh a thing, by hand."""
        raise CallDeferred

    calls = (
        Call("c1", "delete", '{"name": "1"}'),
        Call("c2", "delete", '{"name": "2"}'),
        Call("c3", "weigh", '{"name": "3"}'),
    )
    bench = host(hosted(model, DELETE, weigh))
    run = bench.start((ToolCalls(calls),), END_STEP)
    bench.finish(run, answer=True)
    events = events_of(run)
    assert [event["prompt"] for event in events if event["type"] == "input_request"] == [
        'Allow delete({"name": "1"})?',
        'Allow delete({"name": "2"})?',
        'What is the result of weigh({"name": "3"})?',
    ]
    assert {e["call_id"]: e["output"] for e in events if e["type"] == "tool_result"} == {
        "c1": "1 is gone",
        "c2": "2 is gone",
        "c3": True,
    }
    assert types_of(events).count("tool_call") == 3


def test_the_agents_own_handler_goes_first(host: Host, model: Model) -> None:
    """What the agent decides itself is not asked."""
    handler = HandleDeferredToolCalls[Any](
        lambda _, requests: requests.build_results(approve_all=True)
    )
    events = host(hosted(model, DELETE, capabilities=[handler])).talk(DELETE_STEP, END_STEP)
    assert types_of(events) == ["tool_call", "tool_result", "token", "done"]


def test_an_agent_that_a_tool_runs_is_nested(host: Host, model: Model) -> None:
    """What it says and does is below the tool's call, also what an agent of its own tools does."""
    deep = Agent(model, name="deep", capabilities=[SubAgent()])
    inner = Agent(model, name="inner", capabilities=[SubAgent("Inner")])
    outer = Agent(model)

    @inner.tool
    async def dig(ctx: RunContext[Any], script: str) -> str:
        current_turn().emit(Status("digging"))
        return (await deep.run(script, usage=ctx.usage)).output

    @outer.tool
    async def research(ctx: RunContext[Any], script: str) -> str:
        return (await inner.run(script, deps=ctx.deps, usage=ctx.usage)).output

    deep_script = scripted_message((Text(("far ", "down")), Usage(1, 1)), tag="deep")
    dig_call = ToolCalls((Call("c0", "dig", json.dumps({"script": deep_script})),))
    said = (Text(("I dig. ",)), dig_call, Usage(1, 1))
    inner_script = scripted_message(said, END_STEP, tag="inner")
    call = ToolCalls((Call("c0", "research", json.dumps({"script": inner_script})),))
    events = host(PydanticAIAgent(outer)).talk((call, Usage(1, 1)), END_STEP)
    assert places_of(events) == [
        ("", "", "tool_call", "c0"),
        ("c0", "Inner", "token", "I dig. "),
        ("c0", "Inner", "tool_call", "c0.c0"),
        ("c0", "Inner", "status", "digging"),
        ("c0.c0", "deep", "token", "far "),
        ("c0.c0", "deep", "token", "down"),
        ("c0", "Inner", "tool_result", "c0.c0"),
        ("c0", "Inner", "token", "Done."),
        ("", "", "tool_result", "c0"),
        ("", "", "token", "Done."),
        ("", "", "done", ""),
    ]
    assert events[-1]["usage"]["total_tokens"] == 20


def test_a_sub_agent_elsewhere_is_an_agent(host: Host, model: Model) -> None:
    """Outside of tools of turns the capability changes nothing: it is the turn's own agent."""
    agent = Agent(model, capabilities=[SubAgent()])
    events = host(PydanticAIAgent(agent)).talk(END_STEP)
    assert places_of(events) == [("", "", "token", "Done."), ("", "", "done", "")]
