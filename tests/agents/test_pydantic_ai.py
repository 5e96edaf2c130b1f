"""Agents of Pydantic AI, hosted as they are."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    BinaryContent,
    CallDeferred,
    NativeOutput,
    RunContext,
    Tool,
    ToolFailed,
    UsageLimits,
)
from pydantic_ai.capabilities import HandleDeferredToolCalls
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.agents.bench import AgentBench, events_of, places_of
from tests.support import conversation
from tests.support.conversation import add, pick_colour
from tests.support.documentation import block
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    AnyStep,
    Call,
    Raw,
    Text,
    ToolCalls,
    Usage,
    scripted_message,
)
from tests.support.waiting import wait_for
from wsgi_app import AgentHost, Status, Turn, current_turn
from wsgi_app.agents.pydantic_ai import PydanticAIAgent, SubAgent
from wsgi_app.errors import TurnError
from wsgi_app.store.base import SessionKey

Host = Callable[..., AgentBench]
API = pytest.mark.parametrize("model", [OpenAIChatModel, OpenAIResponsesModel], indirect=True)
END_STEP = (Text(("Done.",)), Usage(5, 2))
DELETE_STEP = (ToolCalls((Call("c1", "delete", '{"name": "a.txt"}'),)), Usage(3, 1))


def read_file(name: str) -> str:
    """Read a file.

    In Pydantic AI a tool's exception ends the run; this one is how a tool tells a failure.
    """
    try:
        return conversation.read_file(name)
    except FileNotFoundError as error:
        raise ToolFailed(f"{type(error).__name__}: {error}") from error


def delete(name: str) -> str:
    """Delete a file."""
    return f"{name} is gone"


class Point(BaseModel):
    """A structured output."""

    x: int


TOOLS = (add, read_file, pick_colour)
DELETE: Tool[Any] = Tool(delete, requires_approval=True)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The model provider."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def client(upstream: Upstream) -> AsyncOpenAI:
    """A client as a team would make it, on no loop yet."""
    return AsyncOpenAI(base_url=upstream.url, api_key="test-key", max_retries=0)


@pytest.fixture
def model(request: pytest.FixtureRequest, client: AsyncOpenAI) -> Model:
    """The model behind the chat API, or behind the one that a test names."""
    api = getattr(request, "param", OpenAIChatModel)
    made: Model = api("test-model", provider=OpenAIProvider(openai_client=client))
    return made


@pytest.fixture
def host(upstream: Upstream, client: AsyncOpenAI) -> Iterator[Host]:
    """Puts one agent on the engine."""
    benches: list[AgentBench] = []

    def start(agent: Callable[..., Any], **settings: Any) -> AgentBench:
        benches.append(AgentBench(agent, upstream, **settings))
        return benches[-1]

    async def close(_: Turn) -> None:
        await client.close()

    yield start
    for bench in benches:
        bench.turns.run(close)
        bench.close()


def hosted(model: Model, *tools: Any, **settings: Any) -> PydanticAIAgent:
    """An agent with some tools."""
    return PydanticAIAgent(Agent(model, tools=list(tools), **settings))


def call_of(tool: str, arguments: str = "{}") -> tuple[AnyStep, ...]:
    """The step in which the model calls a tool."""
    return (ToolCalls((Call("c1", tool, arguments),)), Usage(3, 1))


def types_of(events: list[dict[str, Any]]) -> list[str]:
    """The events' types in their order."""
    return [event["type"] for event in events]


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
def test_bad_calls_are_told_to_the_model(
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
