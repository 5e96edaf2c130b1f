"""Graphs that a graph's tools run: sub-agents of the turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import interrupt

from tests.agents.bench import Host, places_of
from tests.support.graphs import Graph, asking, async_graph, builder_of, make_model, sync_graph
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, Usage, scripted_message
from wsgi_app.agents.langgraph import LangGraphAgent

END_STEP = (Text(("Done.",)), Usage(5, 2))
Make = Callable[..., Graph]


def tool_of(graph: Graph, name: str, *, is_async: bool) -> Callable[..., Any]:
    """A tool that has a graph work."""

    def given(script: str) -> Any:
        return {"messages": [HumanMessage(script)]}

    async def run_async(script: str, config: RunnableConfig) -> str:
        """Have a graph work."""
        return str((await graph.ainvoke(given(script), config))["messages"][-1].text)

    def run(script: str, config: RunnableConfig) -> str:
        """Have a graph work."""
        return str(graph.invoke(given(script), config)["messages"][-1].text)

    made: Callable[..., Any] = run_async if is_async else run
    made.__name__ = name
    return made


def test_a_graph_that_a_tool_runs_is_nested(host: Host, upstream: Upstream) -> None:
    """What it says and does is below the tool's call, also what a graph of its own tools does."""
    check_nesting(host, upstream, async_graph)


@pytest.mark.slow
def test_a_graph_in_a_thread_is_nested(host: Host, upstream: Upstream) -> None:
    """Sync nodes and tools run in threads, and their graphs are nested all the same."""
    check_nesting(host, upstream, sync_graph)


def check_nesting(host: Host, upstream: Upstream, make: Make) -> None:
    """Run three graphs within each other, whose calls have the same ids."""
    is_async = make is async_graph
    deep = make(upstream, [], name="deep")
    dig = tool_of(deep, "dig", is_async=is_async)
    inner = make(upstream, [dig], name="inner")
    research = tool_of(inner, "research", is_async=is_async)
    deep_script = scripted_message((Text(("far ", "down")), Usage(1, 1)), tag="deep")
    dig_call = ToolCalls((Call("c0", "dig", json.dumps({"script": deep_script})),))
    said = (Text(("I dig. ",)), dig_call, Usage(1, 1))
    inner_script = scripted_message(said, END_STEP, tag="inner")
    call = ToolCalls((Call("c0", "research", json.dumps({"script": inner_script})),))
    agent = LangGraphAgent(make(upstream, [research]))
    events = host(agent).talk((call, Usage(1, 1)), END_STEP)
    assert places_of(events) == [
        ("", "", "tool_call", "c0"),
        ("c0", "inner", "token", "I dig. "),
        ("c0", "inner", "tool_call", "c0.c0"),
        ("c0.c0", "deep", "token", "far "),
        ("c0.c0", "deep", "token", "down"),
        ("c0", "inner", "tool_result", "c0.c0"),
        ("c0", "inner", "token", "Done."),
        ("", "", "tool_result", "c0"),
        ("", "", "token", "Done."),
        ("", "", "done", ""),
    ]
    assert events[-1]["usage"]["total_tokens"] == 20


def test_a_question_within_it_waits(host: Host, upstream: Upstream) -> None:
    """What a nested graph asks is asked of the user; its call goes on, and has one result."""

    def ask() -> str:
        """Ask."""
        return str(interrupt("Which?"))

    inner = builder_of(asking(make_model(upstream), [ask]), [ask]).compile(name="inner")
    research = tool_of(inner, "research", is_async=True)
    ask_call = ToolCalls((Call("c0", "ask", "{}"),))
    script = scripted_message((ask_call, Usage(1, 1)), END_STEP, tag="asks")
    call = ToolCalls((Call("c0", "research", json.dumps({"script": script})),))
    events = host(LangGraphAgent(async_graph(upstream, [research]))).talk(
        (call, Usage(1, 1)), END_STEP
    )
    places = places_of(events)
    assert ("", "", "input_request", "") in places
    assert [one for one in places if one[2] == "tool_result"] == [
        ("c0", "inner", "tool_result", "c0.c0"),
        ("", "", "tool_result", "c0"),
    ]
    assert [one["content"] for one in events if one["type"] == "token"] == ["Done.", "Done."]
