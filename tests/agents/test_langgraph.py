"""Graphs of LangGraph in the conversation, hosted as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from tests.agents.bench import Host
from tests.support.documentation import block
from tests.support.graphs import (
    Reply,
    asking,
    async_graph,
    builder_of,
    make_model,
    one_node,
    prebuilt_graph,
    sync_graph,
)
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    Call,
    Reasoning,
    Text,
    ToolCalls,
    Usage,
)
from wsgi_app import AgentHost, Turn, current_turn
from wsgi_app.agents.langgraph import LangGraphAgent

GRAPHS = {"async": async_graph, "sync": sync_graph, "prebuilt": prebuilt_graph}
BOTH = pytest.mark.parametrize("make", [async_graph, sync_graph])

ADD_STEP = (ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),)), Usage(3, 1))
END_STEP = (Text(("Done.",)), Usage(5, 2))


def texts(events: list[dict[str, Any]], kind: str = "token") -> str:
    """The joined content of a turn's events of one type."""
    return "".join(event["content"] for event in events if event["type"] == kind)


def test_reasoning_of_the_responses_api_is_thinking(host: Host, upstream: Upstream) -> None:
    """The summaries of the model's reasoning, which LangChain hands on, are told as thinking."""
    model = make_model(upstream, use_responses_api=True, reasoning={"summary": "auto"})
    bench = host(LangGraphAgent(one_node(asking(model, ()))))
    events = bench.talk((Reasoning(("Hm", ".")), Text(("Ye", "s.")), Usage(2, 1)))
    assert (texts(events, "thinking"), texts(events)) == ("Hm.", "Yes.")
    assert events[-1]["usage"] == {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}


class ReasoningChat(ChatOpenAI):
    """Keeps the reasoning of compatible servers, as LangChain's models for them do."""

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], *args: Any, **kwargs: Any
    ) -> ChatGenerationChunk | None:
        made = super()._convert_chunk_to_generation_chunk(chunk, *args, **kwargs)
        for choice in chunk.get("choices") or []:
            reasoning = choice["delta"].get("reasoning_content")
            if made is not None and reasoning:
                made.message.additional_kwargs["reasoning_content"] = reasoning
        return made


def test_reasoning_content_is_thinking(host: Host, upstream: Upstream) -> None:
    """The reasoning that compatible servers send beside the text is told as thinking."""
    bench = host(LangGraphAgent(one_node(asking(make_model(upstream, ReasoningChat), ()))))
    events = bench.talk((Reasoning(("Hm", ".")), Text(("Yes.",))))
    assert [event["type"] for event in events] == ["thinking", "thinking", "token", "done"]


def test_the_default_setting_bounds_the_steps(host: Host, upstream: Upstream) -> None:
    """The default bounds too, though LangChain takes its number for none."""
    end = host(LangGraphAgent(async_graph(upstream))).talk(ADD_STEP)[-1]
    assert (end["code"], end["details"]) == ("step_limit", {"max_steps": 25})


@pytest.mark.parametrize("where", ["graph", "agent"])
def test_a_limit_of_ones_own_beats_the_setting(host: Host, upstream: Upstream, where: str) -> None:
    """The recursion limit of the graph or of the agent's config stands."""
    graph = async_graph(upstream)
    if where == "graph":
        agent = LangGraphAgent(graph.with_config(recursion_limit=3))
    else:
        agent = LangGraphAgent(graph, config={"recursion_limit": 3})
    end = host(agent).talk(ADD_STEP)[-1]
    assert (end["code"], end["details"]) == ("step_limit", {"max_steps": 3})


def test_quiet_models_do_not_speak_but_count(host: Host, upstream: Upstream) -> None:
    """What a model says that is tagged nostream, or that a tool asks, is used but not sent."""
    model = make_model(upstream)
    quiet = model.with_config(tags=["nostream"])

    async def summarise(config: RunnableConfig) -> str:
        """Summarise."""
        return str((await model.ainvoke("scripted", config)).text)

    async def node(state: MessagesState, config: RunnableConfig) -> Reply:
        # Into the state too, from which LangGraph streams what is new.
        return {"messages": [await quiet.ainvoke(state["messages"], config)]}

    builder = builder_of(asking(model, [summarise]), [summarise])
    builder.add_node("first", node)
    builder.edges.remove((START, "model"))
    builder.add_edge(START, "first")
    builder.add_edge("first", "model")
    call = ToolCalls((Call("c1", "summarise", "{}"),))
    upstream.script(Text(("nested",)), Usage(10, 0))
    scripts = (Text(("quiet",)), Usage(1, 0)), (Text(("Hm. ",)), call, Usage(100, 0)), END_STEP
    events = host(LangGraphAgent(builder.compile())).talk(*scripts)
    result = next(event for event in events if event["type"] == "tool_result")
    assert (texts(events), result["output"]) == ("Hm. Done.", "nested")
    assert events[-1]["usage"]["input_tokens"] == 116


def test_what_nodes_say_themselves_is_said_once(host: Host, upstream: Upstream) -> None:
    """A node's own message is sent; one that repeats what its model has streamed is not."""
    model = make_model(upstream)

    async def node(state: MessagesState, config: RunnableConfig) -> Reply:
        answer = await model.ainvoke(state["messages"], config)
        return {"messages": [AIMessage(str(answer.text)), AIMessage(" Bye.")]}

    assert (
        texts(host(LangGraphAgent(one_node(node))).talk((Text(("Hel", "lo.")),))) == "Hello. Bye."
    )


@pytest.mark.parametrize(("subgraphs", "tokens"), [(True, ["Hel", "lo."]), (False, ["Hello."])])
def test_subgraphs_speak_if_they_may(
    host: Host, upstream: Upstream, *, subgraphs: bool, tokens: list[str]
) -> None:
    """With `subgraphs` a nested graph streams live; without, what it adds comes when it ends."""
    outer = one_node(one_node(asking(make_model(upstream), ())))
    events = host(LangGraphAgent(outer, subgraphs=subgraphs)).talk((Text(("Hel", "lo.")),))
    assert [event["content"] for event in events if event["type"] == "token"] == tokens


def test_the_turn_is_the_runtimes_context(host: Host) -> None:
    """Nodes find their turn by current_turn(), and as the context of their runtime."""
    seen: list[Any] = []

    def node(_: MessagesState, runtime: Runtime[Any]) -> None:
        seen.extend([runtime.context, current_turn()])

    host(LangGraphAgent(one_node(node))).talk((Text(("",)),))
    assert isinstance(seen[0], Turn)
    assert seen[0] is seen[1]


class Question(TypedDict):
    """A state without messages."""

    text: str


class Who(TypedDict):
    """What the nodes of a graph want to know."""

    tenant: str


def test_input_and_context_of_ones_own(host: Host) -> None:
    """A state without messages is filled by `make_input`, a context schema by `context`."""
    seen: list[str] = []

    def node(state: Question, runtime: Runtime[Who]) -> None:
        seen.append(f"{state['text']} of {runtime.context['tenant']}")

    builder = StateGraph(Question, context_schema=Who)
    builder.add_node("only", node)
    builder.add_edge(START, "only")
    agent = LangGraphAgent(
        builder.compile(),
        make_input=lambda _, messages: {"text": f"{len(messages)} message"},
        context=lambda turn: {"tenant": turn.tenant},
    )
    host(agent).talk((Text(("",)),))
    assert seen == ["1 message of tenant"]


def test_outputs_of_tools(host: Host, upstream: Upstream) -> None:
    """Objects and lists come out as they are; a failure in the words that the model gets."""

    def table() -> dict[str, Any]:
        """A table."""
        return {"rows": [1, 2]}

    def broken() -> str:
        """Fails."""
        raise ValueError("no such table")

    def odd() -> str:
        """Text that begins like JSON."""
        return "{not json"

    tools = [table, broken, odd]
    builder = builder_of(asking(make_model(upstream), tools), tools)
    builder.nodes["tools"].runnable = ToolNode(tools, handle_tool_errors=True)
    calls = ToolCalls(tuple(Call(f"c{n}", tool.__name__, "{}") for n, tool in enumerate(tools)))
    events = host(LangGraphAgent(builder.compile())).talk((calls,), END_STEP)
    results = [e for e in events if e["type"] == "tool_result"]
    assert [result["output"] for result in results] == [
        {"rows": [1, 2]},
        {"error": "Error: ValueError('no such table')\n Please fix your mistakes."},
        "{not json",
    ]


def test_a_tool_that_may_fail_the_graph_fails_the_turn(host: Host, upstream: Upstream) -> None:
    """A tool's exception that the graph does not handle ends the turn, its text stays inside."""

    def broken() -> str:
        """Fails."""
        raise ValueError("secret table")

    builder = builder_of(asking(make_model(upstream), [broken]), [broken])
    builder.nodes["tools"].runnable = ToolNode([broken])
    events = host(LangGraphAgent(builder.compile())).talk(
        (ToolCalls((Call("c1", "broken", "{}"),)),)
    )
    assert events[-1]["code"] == "agent_error"
    assert "secret" not in json.dumps(events)


def test_readme_shows_how(upstream: Upstream) -> None:
    """The page's lines mount a graph in an app, and it answers."""
    code = block("python", "LangGraphAgent(graph))", "docs/frameworks.md")
    app = Flask("site")
    names = {"AgentHost": AgentHost, "app": app, "graph": async_graph(upstream)}
    exec(code, names)  # noqa: S102 - the page's own code
    answer = app.test_client().post(
        "/graph/chat",
        json={"message": "hi"},
        headers={"Authorization": "Bearer dev", "Accept": "application/json"},
    )
    assert answer.json is not None
    assert answer.json["reply"] == "Hello from upstream"
