"""Agents of the OpenAI Agents SDK, hosted as they are."""

from __future__ import annotations

import gc
import json
from typing import Any

import agents
import pytest
from agents import (
    GuardrailFunctionOutput,
    Model,
    OpenAIChatCompletionsModel,
    RunConfig,
    RunContextWrapper,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from agents.run_config import ToolErrorFormatterArgs
from agents.tracing import Span, Trace, TracingProcessor
from flask import Flask

from tests.agents.bench import Host
from tests.agents.openai_agents.parts import (
    ADD_STEP,
    API,
    END_STEP,
    TOOLS,
    sdk_agent,
    types_of,
)
from tests.support.conversation import SCRIPTS
from tests.support.documentation import block
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    Call,
    ToolCalls,
)
from tests.support.waiting import wait_for
from wsgi_app import AgentHost, Turn, current_turn
from wsgi_app.agents.openai_agents import AgentsSdkAgent
from wsgi_app.errors import TurnError


def test_a_cancel_of_a_waiting_tool_is_no_error(
    host: Host, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    """A sync tool that waits for the user when its turn is cancelled leaves no error in the log."""
    bench = host(AgentsSdkAgent(sdk_agent(model, *TOOLS)))
    for _ in range(5):
        run = bench.start(*SCRIPTS)
        wait_for(lambda run=run: run.questions.waiting, "the question", 20)  # type: ignore[misc] # mypy knows no type for it
        bench.turns.runner.cancel(run.fence.key, None, "user")
        wait_for(lambda: bench.turns.runner.loops.count_tasks() == 0, "no task", 20)
    gc.collect()  # asyncio tells of an error that nobody took when its task goes
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@API
def test_the_history_reaches_the_provider(host: Host, model: Model, upstream: Upstream) -> None:
    """What was said and done in earlier turns is in the request, in the API's own form."""
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "What is 1 + 2?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "c0",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c0", "content": "3"},
        {"role": "assistant", "content": "3."},
    ]
    agent = AgentsSdkAgent(sdk_agent(model, *TOOLS))

    def answer(turn: Turn) -> Any:
        turn.history = history
        return agent(turn)

    host(answer).talk(END_STEP)
    body = upstream.requests[-1].body
    if isinstance(model, OpenAIChatCompletionsModel):
        # The ids are others than this turn's can be.
        sent = json.loads(json.dumps(body["messages"][:-1]).replace("earlier_c0", "c0"))
        assert sent == history
        return

    def said(text: str) -> dict[str, Any]:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        return {"type": "message", "role": "assistant", "content": content}

    called = {"call_id": "earlier_c0", "name": "add", "arguments": '{"a": 1, "b": 2}'}
    assert body["input"][:-1] == [
        {"type": "message", **history[0]},
        said("Let me see."),
        {"type": "function_call", **called},
        {"type": "function_call_output", "call_id": "earlier_c0", "output": "3"},
        said("3."),
    ]


def test_a_limit_of_ones_own(host: Host, model: Model) -> None:
    """A model that goes on calling tools is stopped at ``max_turns``."""
    steps = [(ToolCalls((Call(f"c{n}", "add", '{"a": 1, "b": 2}'),)),) for n in (1, 2, 3)]
    events = host(AgentsSdkAgent(sdk_agent(model, *TOOLS), max_turns=2)).talk(*steps)
    assert types_of(events).count("tool_call") == 2
    assert (events[-1]["code"], events[-1]["details"]) == ("step_limit", {"max_steps": 2})


def test_an_unknown_tool_is_reported_to_the_model(host: Host, model: Model) -> None:
    """A call of a tool that does not exist fails, and the model goes on."""
    call = (ToolCalls((Call("c1", "nothing", "{}"),)),)
    _, result, *_, end = host(AgentsSdkAgent(sdk_agent(model))).talk(call, END_STEP)
    assert (result["status"], result["output"]) == ("error", {"error": "Tool 'nothing' not found."})
    assert end["reply"] == "Done."


@pytest.mark.parametrize("options", [{}, {"failure_error_function": None}])
def test_a_tool_may_end_the_turn(host: Host, model: Model, options: dict[str, Any]) -> None:
    """A TurnError from a tool ends the turn, whether the SDK would tell the model or raise."""

    def stop() -> str:
        """Stop."""
        raise TurnError("That is enough.", {"why": "test"})

    call = (ToolCalls((Call("c1", "stop", "{}"),)),)
    agent = sdk_agent(model, function_tool(stop, **options))
    events = host(AgentsSdkAgent(agent)).talk(call, END_STEP)
    assert types_of(events) == ["tool_call", "error"]
    assert (events[-1]["message"], events[-1]["details"]) == ("That is enough.", {"why": "test"})


@input_guardrail
def no_input(*_: Any) -> GuardrailFunctionOutput:
    """Refuse every message."""
    return GuardrailFunctionOutput(None, tripwire_triggered=True)


@output_guardrail
def no_output(*_: Any) -> GuardrailFunctionOutput:
    """Refuse every answer."""
    return GuardrailFunctionOutput(None, tripwire_triggered=True)


@pytest.mark.parametrize(
    ("name", "guardrails"),
    [
        ("no_input", {"input_guardrails": [no_input]}),
        ("no_output", {"output_guardrails": [no_output]}),
    ],
)
def test_a_guardrail_ends_the_turn(
    host: Host, model: Model, name: str, guardrails: dict[str, Any]
) -> None:
    """A guardrail that trips ends the turn with an error that names it."""
    *_, end = host(AgentsSdkAgent(sdk_agent(model, **guardrails))).talk(END_STEP)
    assert end["message"] == f"The guardrail {name} stopped the turn."
    assert (end["code"], end["details"]) == ("agent_error", {"guardrail": name})


async def look(context: RunContextWrapper[Any]) -> str:
    """Look around."""
    found = context.context
    return f"{found is current_turn()} {getattr(found, 'session_id', found)}"


def look_in_thread(context: RunContextWrapper[Any]) -> str:
    """Look around."""
    return str(context.context is current_turn())


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, ["True session-1", "True"]),
        ({"context": lambda turn: f"of {turn.tenant}"}, ["False of tenant", "False"]),
    ],
)
def test_what_tools_find(
    host: Host, model: Model, options: dict[str, Any], found: list[str]
) -> None:
    """A tool finds the turn in its context and around it, in a thread too, or a context made."""
    agent = sdk_agent(model, function_tool(look), function_tool(look_in_thread))
    calls = ToolCalls((Call("c1", "look", "{}"), Call("c2", "look_in_thread", "{}")))
    events = host(AgentsSdkAgent(agent, **options)).talk((calls,), END_STEP)
    results = {e["call_id"]: e["output"] for e in events if e["type"] == "tool_result"}
    assert [results["c1"], results["c2"]] == found


def test_an_output_without_text_is_sent(host: Host, model: Model) -> None:
    """What a run gives without having streamed it, as a tool's value, is the reply."""
    agent = sdk_agent(model, *TOOLS, tool_use_behavior="stop_on_first_tool")
    events = host(AgentsSdkAgent(agent)).talk(ADD_STEP)
    assert types_of(events) == ["tool_call", "tool_result", "token", "done"]
    assert events[-1]["reply"] == "3"


def test_a_teams_own_run_config_is_used(host: Host, model: Model, upstream: Upstream) -> None:
    """A run config of one's own tells the model what it wants, and the client the error."""

    def format_error(args: ToolErrorFormatterArgs[Any]) -> str:
        return f"{args.tool_name} is out of order"

    config = RunConfig(tool_error_formatter=format_error, tracing_disabled=True)
    agent = AgentsSdkAgent(sdk_agent(model, *TOOLS), run_config=config)
    call = (ToolCalls((Call("c1", "read_file", '{"name": "x"}'),)),)
    _, result, *_ = host(agent).talk(call, END_STEP)
    assert (result["status"], result["output"]) == (
        "error",
        {"error": "FileNotFoundError: no such file: x"},
    )
    assert upstream.requests[-1].body["messages"][-1]["content"] == "read_file is out of order"


def test_nothing_is_traced_unless_asked_for(host: Host, model: Model) -> None:
    """The SDK's tracing, which would send prompts to OpenAI, is off but with a run config."""
    traces = _Traces()
    agents.set_trace_processors([traces])
    agent = sdk_agent(model)
    hosted = [
        AgentsSdkAgent(agent),
        AgentsSdkAgent(agent, run_config=RunConfig(workflow_name="mine")),
    ]

    def answer(turn: Turn) -> Any:
        return hosted.pop(0)(turn)

    bench = host(answer)
    bench.talk(END_STEP)
    assert traces.names == []
    bench.talk(END_STEP)
    assert traces.names == ["mine"]


def test_readme_shows_how(model: Model) -> None:
    """The page's lines mount an agent in an app, and it answers."""
    code = block("python", "AgentsSdkAgent", "docs/frameworks.md")
    app = Flask("site")
    names = {"AgentHost": AgentHost, "app": app, "agent": sdk_agent(model)}
    exec(code, names)  # noqa: S102 - the page's own code
    answer = app.test_client().post(
        "/sdk/chat",
        json={"message": "hi"},
        headers={"Authorization": "Bearer dev", "Accept": "application/json"},
    )
    assert answer.json is not None
    assert answer.json["reply"] == "Hello from upstream"


class _Traces(TracingProcessor):
    """Notes what is traced. Called by the agents loop's thread, read by the test's."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_trace_start(self, trace: Trace) -> None:
        self.names.append(trace.name)

    def on_trace_end(self, trace: Trace) -> None:
        """Not needed."""

    def on_span_start(self, span: Span[Any]) -> None:
        """Not needed."""

    def on_span_end(self, span: Span[Any]) -> None:
        """Not needed."""

    def shutdown(self) -> None:
        """Not needed."""

    def force_flush(self) -> None:
        """Not needed."""
