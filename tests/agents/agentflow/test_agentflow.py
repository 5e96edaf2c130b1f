"""Graphs of AgentFlow, in the conversation, hosted as they are; collected from Python 3.12 on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agentflow.core.graph import StateGraph, ToolNode
from agentflow.core.state import AgentState, Message
from agentflow.core.state.stream_emitter import StreamEmitter
from agentflow.runtime.adapters.llm.model_response_converter import ModelResponseConverter
from agentflow.storage.checkpointer import InMemoryCheckpointer
from agentflow.utils import interrupt
from agentflow.utils.constants import END
from flask import Flask
from injectq import InjectQ
from openai import AsyncOpenAI

from tests.agents.agentflow.parts import (
    ADD_STEP,
    COLOUR_STEP,
    END_STEP,
    NOTHING,
    answer_next,
    one_node,
    react,
    texts,
)
from tests.agents.bench import Host, events_of
from tests.support.conversation import add
from tests.support.documentation import block
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    Call,
    Text,
    ToolCalls,
)
from tests.support.waiting import wait_for
from wsgi_app import AgentHost, Turn, current_turn
from wsgi_app.errors import TurnError

APIS = pytest.mark.parametrize("api", ["chat", "responses"])


def test_nothing_of_a_turn_stays_in_memory(flow: Host, upstream: Upstream) -> None:
    """What AgentFlow keeps of threads by default is gone with the turn, also a cancelled one."""
    saver: InMemoryCheckpointer[Any] = InMemoryCheckpointer()
    bench = flow(react(upstream, checkpointer=saver))
    bench.talk(ADD_STEP, END_STEP)
    run = bench.start(COLOUR_STEP)
    wait_for(lambda: run.questions.waiting, "the question")
    run.cancel("user")
    wait_for(lambda: not run.goes_on(), "nothing of it goes on")
    assert not [name for name, kept in vars(saver).items() if isinstance(kept, dict) and kept]


def test_an_async_tool_ends_with_its_turn(flow: Host, upstream: Upstream) -> None:
    """A cancel reaches the tools that AgentFlow runs beside the graph."""
    seen: list[str] = []

    async def wait() -> str:
        """Wait."""
        seen.append("begun")
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append("ended")
        return "late"

    bench = flow(react(upstream, [wait]))
    run = bench.start((ToolCalls((Call("c1", "wait", "{}"),)),))
    wait_for(lambda: seen, "the tool runs")
    run.cancel("user")
    wait_for(lambda: not run.goes_on(), "nothing of it goes on")
    assert seen == ["begun", "ended"]


def test_the_config_is_ones_own(flow: Host, upstream: Upstream) -> None:
    """What `config` makes of the turn reaches tools, and beats the host's."""

    def whose(config: dict[str, Any]) -> str:
        """Tell the user."""
        return f"{config['user_id']} in {config['shop']}"

    def config(turn: Turn) -> dict[str, Any]:
        return {"shop": turn.tenant, "user_id": "u", "recursion_limit": 4}

    bench = flow(react(upstream, [whose]), config=config)
    events = bench.talk((ToolCalls((Call("c1", "whose", "{}"),)),))
    assert events[1]["output"] == "u in tenant"
    assert events[-1]["details"] == {"max_steps": 4}


def test_an_interrupt_is_a_question(flow: Host, upstream: Upstream) -> None:
    """A tool's interrupts ask the user one after the other, and resume it in the same turn.

    The tool beside them, which runs again each time, tells its result once.
    """

    def paint() -> str:
        """Paint."""
        colour = interrupt("door", message="Which colour?", response_schema={"type": "string"})
        return f"{colour} and {interrupt({'for': 'roof'})}"

    bench = flow(react(upstream, [paint, add]))
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'), Call("c2", "paint", "{}")))
    run = bench.start((calls,), END_STEP)
    answer_next(bench, run, 1, "red")
    answer_next(bench, run, 2, "blue")
    bench.finish(run)
    events = events_of(run)
    questions = [event for event in events if event["type"] == "input_request"]
    results = [event["output"] for event in events if event["type"] == "tool_result"]
    assert [question["prompt"] for question in questions] == [
        "Which colour?\ndoor",
        '{"for":"roof"}',
    ]
    assert (questions[0]["schema"], results) == ({"type": "string"}, ["3", "red and blue"])
    assert events[-1]["reply"] == "Done."


@pytest.mark.parametrize("place", ["interrupt_before", "interrupt_after"])
@pytest.mark.parametrize(("answer", "result"), [(True, ["3"]), ("no", [])])
def test_a_breakpoint_asks_whether_to_go_on(
    flow: Host, upstream: Upstream, place: str, answer: Any, result: list[str]
) -> None:
    """A graph that is compiled to stop goes on with the user's yes alone."""
    node = {"interrupt_before": "TOOL", "interrupt_after": "MAIN"}[place]
    compilation: dict[str, Any] = {place: [node]}
    bench = flow(react(upstream, **compilation))
    run = bench.start(ADD_STEP, END_STEP)
    bench.finish(run, answer)
    events = events_of(run)
    asked = [event["prompt"] for event in events if event["type"] == "input_request"]
    assert asked[0] == f"Go on at {node}?"
    assert [event["output"] for event in events if event["type"] == "tool_result"] == result
    assert events[-1]["type"] == "done"


def test_a_remote_tools_result_is_a_question(flow: Host, upstream: Upstream) -> None:
    """A tool that the client runs is asked for, its answer goes to the model; others run here."""
    function = {"name": "clipboard", "parameters": {"type": "object", "properties": {}}}
    graph = react(upstream)
    graph.attach_remote_tools([{"type": "function", "function": function}], "TOOL")
    calls = ToolCalls((Call("c1", "clipboard", "{}"), Call("c2", "add", '{"a": 1, "b": 2}')))
    bench = flow(graph)
    run = bench.start((calls,), END_STEP)
    bench.finish(run, "copied")
    events = events_of(run)
    results = {e["tool"]: e["output"] for e in events if e["type"] == "tool_result"}
    assert results == {"clipboard": "copied", "add": "3"}
    assert sorted(m["content"] for m in upstream.requests[-1].body["messages"][2:]) == [
        "3",
        "copied",
    ]
    assert events[-1]["reply"] == "Done."


def test_handing_over_is_a_status(flow: Host, upstream: Upstream) -> None:
    """A call that hands over to another agent is told as a status, not as a tool."""

    def transfer_to_HELPER() -> str:  # noqa: N802 - AgentFlow knows it by its name
        """Hand over."""
        return ""

    graph: StateGraph[Any] = StateGraph(container=InjectQ())
    tools = ToolNode([transfer_to_HELPER])
    first = react(upstream, [transfer_to_HELPER])._state_graph.nodes["MAIN"].func  # noqa: SLF001 - an Agent
    graph.add_node("MAIN", first)
    graph.add_node("TOOL", tools)
    graph.add_node("HELPER", lambda state: [Message.text_message("Here I am.", "assistant")])  # noqa: ARG005 - the node's signature
    graph.set_entry_point("MAIN")
    graph.add_edge("MAIN", "TOOL")
    graph.add_edge("TOOL", END)
    graph.add_edge("HELPER", END)
    call = ToolCalls((Call("c1", "transfer_to_HELPER", "{}"),))
    events = flow(graph.compile()).talk((call,))
    assert [event.get("content") for event in events] == ["HELPER takes over.", "Here I am.", None]


def test_what_tools_emit_is_a_status(flow: Host, upstream: Upstream) -> None:
    """A tool's progress is told while it runs; structured output comes as the model gets it."""

    def look(emit: StreamEmitter | None = None) -> dict[str, Any]:
        """Look."""
        assert emit is not None
        emit.progress("looking")
        emit.message("still looking")
        emit.error("lost it")
        return {"rows": [1]}

    bench = flow(react(upstream, [look]))
    events = bench.talk((ToolCalls((Call("c1", "look", "{}"),)),), END_STEP)
    assert texts(events, "status") == "lookingstill lookinglost it"
    assert events[-3]["output"] == [{"rows": [1]}]


def test_function_nodes_stream_too(flow: Host, upstream: Upstream) -> None:
    """A node that calls the SDK itself streams; it finds the turn by current_turn()."""
    seen: list[Turn] = []
    client = AsyncOpenAI(base_url=upstream.url, max_retries=0)

    async def node(state: AgentState) -> ModelResponseConverter:
        seen.append(current_turn())
        answer = await client.chat.completions.create(
            model="test-model",
            messages=[{"role": "user", "content": state.context[-1].text()}],
            stream=True,
        )
        return ModelResponseConverter(answer, converter="openai")

    node.client = client  # type: ignore[attr-defined] # to be closed as others are
    events = flow(one_node(node)).talk((Text(("Hel", "lo.")),))
    assert [event.get("content") for event in events] == ["Hel", "lo.", None]
    assert isinstance(seen[0], Turn)


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (ValueError("secret"), "agent_error", {}),
        (TurnError("No more today.", {"left": 0}), "agent_error", {"left": 0}),
        (
            type("Overloaded", (Exception,), {"__module__": "anthropic", "status_code": 529})(),
            "upstream_error",
            {"status": 529},
        ),
    ],
)
def test_a_nodes_error_ends_the_turn(
    flow: Host, error: Exception, code: str, details: dict[str, Any]
) -> None:
    """A node's exception keeps its text inside, a TurnError says what it says."""

    def node(_: AgentState) -> None:
        raise error

    events = flow(one_node(node)).talk(NOTHING)
    assert (events[-1]["code"], events[-1]["details"]) == (code, details)
    assert "secret" not in json.dumps(events)


def test_readme_shows_how(upstream: Upstream) -> None:
    """The page's lines mount a graph in an app, and it answers."""
    code = block("python", "AgentFlowAgent", "docs/frameworks.md")
    app = Flask("site")
    exec(code, {"AgentHost": AgentHost, "app": app, "graph": react(upstream)})  # noqa: S102 - the page's own code
    answer = app.test_client().post(
        "/flow/chat",
        json={"message": "hi"},
        headers={"Authorization": "Bearer dev", "Accept": "application/json"},
    )
    assert answer.json is not None
    assert answer.json["reply"] == "Hello from upstream"
