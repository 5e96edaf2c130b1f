"""What agents of the SDK ask, and agents within agents."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    Model,
    Runner,
    function_tool,
    input_guardrail,
)

from tests.agents.bench import Host, events_of, places_of
from tests.agents.openai_agents.parts import (
    API,
    DELETE,
    DELETE_STEP,
    END_STEP,
    TOOLS,
    sdk_agent,
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
from wsgi_app.agents.openai_agents import AgentsSdkAgent


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
    bench = host(AgentsSdkAgent(sdk_agent(model, DELETE, *TOOLS)))
    run = bench.start(DELETE_STEP, END_STEP)
    bench.finish(run, answer)
    call, question, ended, _, end = events_of(run)
    assert (call["type"], call["input"]) == ("tool_call", {"name": "a.txt"})
    assert question["prompt"] == 'Allow delete({"name": "a.txt"})?'
    assert question["schema"] == {"type": "boolean", "x-call-id": "c1"}
    assert (ended["call_id"], ended["status"], ended["output"]) == ("c1", *result)
    assert end["usage"] == {"input_tokens": 8, "output_tokens": 3, "total_tokens": 11}
    told = {True: "a.txt is gone", "yes": "a.txt is gone", False: "not approved"}
    assert told.get(answer, answer) in json.dumps(upstream.requests[-1].body)


def test_each_approval_is_asked(host: Host, model: Model) -> None:
    """Two calls that need approval are two questions, one after the other."""
    calls = tuple(Call(f"c{n}", "delete", f'{{"name": "{n}"}}') for n in (1, 2))
    agent = AgentsSdkAgent(sdk_agent(model, DELETE))
    bench = host(agent)
    run = bench.start((ToolCalls(calls),), END_STEP)
    bench.finish(run, answer=True)
    events = events_of(run)
    questions = [event["prompt"] for event in events if event["type"] == "input_request"]
    assert questions == ['Allow delete({"name": "1"})?', 'Allow delete({"name": "2"})?']
    assert sorted(e["output"] for e in events if e["type"] == "tool_result") == [
        "1 is gone",
        "2 is gone",
    ]


def test_an_agent_inside_a_tool_asks_for_approval_too(host: Host, model: Model) -> None:
    """What an agent used as a tool wants to do is asked of the same user."""
    inner = Agent(name="Inner", model=model, tools=[DELETE])
    tool = inner.as_tool("inner", "Cleans up.")
    message = scripted_message(DELETE_STEP, END_STEP, tag="inner")
    call = ToolCalls((Call("c0", "inner", json.dumps({"input": message})),))
    bench = host(AgentsSdkAgent(sdk_agent(model, tool)))
    run = bench.start((call, Usage(1, 1)), END_STEP)
    bench.finish(run, answer=True)
    events = events_of(run)
    assert places_of(events) == [
        ("", "", "tool_call", "c0"),
        ("c0", "Inner", "tool_call", "c0.c1"),
        ("", "", "input_request", ""),
        ("c0", "Inner", "tool_result", "c0.c1"),
        ("c0", "Inner", "token", "Done."),
        ("", "", "tool_result", "c0"),
        ("", "", "token", "Done."),
        ("", "", "done", ""),
    ]
    assert (events[5]["tool"], events[5]["output"]) == ("inner", "Done.")
    assert events[-1]["usage"] == {"input_tokens": 14, "output_tokens": 6, "total_tokens": 20}


def test_an_agent_used_as_a_tool_is_nested(host: Host, model: Model) -> None:
    """What it says and does is below its call, also what an agent that it has as a tool does."""

    @function_tool
    def look(where: str) -> str:
        """Look somewhere."""
        raise ValueError(f"nothing in {where}")

    deep = Agent(name="Deep", model=model)
    inner = Agent(name="Inner", model=model, tools=[look, deep.as_tool("deep", "Goes deep.")])
    deep_script = scripted_message((Text(("far ", "down")), Usage(1, 1)), tag="deep")
    look_call = Call("c0", "look", '{"where": "here"}')
    deep_call = Call("c1", "deep", json.dumps({"input": deep_script}))
    calls = (Text(("I look. ",)), ToolCalls((look_call, deep_call)), Usage(1, 1))
    inner_script = scripted_message(calls, END_STEP, tag="nested")
    call = ToolCalls((Call("c0", "inner", json.dumps({"input": inner_script})),))
    bench = host(AgentsSdkAgent(sdk_agent(model, inner.as_tool("inner", "Works."))))
    events = bench.talk((call, Usage(1, 1)), END_STEP)
    assert sorted(places_of(events)) == [
        ("", "", "done", ""),
        ("", "", "token", "Done."),
        ("", "", "tool_call", "c0"),
        ("", "", "tool_result", "c0"),
        ("c0", "Inner", "token", "Done."),
        ("c0", "Inner", "token", "I look. "),
        ("c0", "Inner", "tool_call", "c0.c0"),
        ("c0", "Inner", "tool_call", "c0.c1"),
        ("c0", "Inner", "tool_result", "c0.c0"),
        ("c0", "Inner", "tool_result", "c0.c1"),
        ("c0.c1", "Deep", "token", "down"),
        ("c0.c1", "Deep", "token", "far "),
    ]
    results = {one["call_id"]: one for one in events if one["type"] == "tool_result"}
    assert "nothing in here" in results["c0.c0"]["output"]["error"]
    assert results["c0.c1"]["output"] == "far down"
    assert events[-1]["reply"] == "Done."
    assert events[-1]["usage"]["total_tokens"] == 20


def test_only_what_tools_of_turns_run_is_nested(host: Host, model: Model) -> None:
    """An agent that a tool's function runs is shown too; a guardrail's, and any other, is not."""
    other = Agent(name="Other", model=model)

    @input_guardrail
    async def ask_other(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        del context, agent, given
        with suppress(AttributeError):  # unseen it does not stream, as the provider needs it
            await Runner.run(other, scripted_message((Text(("no",)),), tag="guard"))
        return GuardrailFunctionOutput(None, tripwire_triggered=False)

    @function_tool
    async def have_done(script: str) -> str:
        """Have another agent work."""
        return str((await Runner.run(other, script)).final_output)

    script = scripted_message((Text(("by ", "me")),), tag="other")
    call = ToolCalls((Call("c0", "have_done", json.dumps({"script": script})),))
    agent = sdk_agent(model, have_done, input_guardrails=[ask_other])
    events = host(AgentsSdkAgent(agent)).talk((call,), END_STEP)
    nested = [one["content"] for one in events if "parent" in one]
    assert nested == ["by ", "me"]
    assert [one["output"] for one in events if one["type"] == "tool_result"] == ["by me"]


def test_a_handoff_is_a_status(host: Host, model: Model) -> None:
    """When another agent takes over, a status tells so, and its answer follows."""
    other = Agent(name="Accountant", model=model)
    bench = host(AgentsSdkAgent(sdk_agent(model, handoffs=[other])))
    call = (Text(("Wait. ",)), ToolCalls((Call("c1", "transfer_to_accountant", "{}"),)))
    events = bench.talk(call, END_STEP)
    assert types_of(events) == ["token", "status", "token", "done"]
    assert (events[1]["content"], events[1]["agent"]) == ("Accountant takes over.", "Accountant")
    assert events[-1]["reply"] == "Wait. Done."
