"""A graph of LangGraph takes what its user says between two of its steps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from typing_extensions import TypedDict

from tests.agents.bench import Host
from tests.agents.steering import Gate, call, finish, kinds, said
from tests.support.graphs import Reply, asking, async_graph, make_model, one_node, sync_graph
from tests.support.savers import sqlite_saver
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text, scripted_message
from tests.support.waiting import wait_for
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.store.base import SessionKey


def agent_graph(upstream: Upstream, tools: Any, **options: Any) -> Any:
    """What LangChain makes, each of whose calls is a task of its own."""
    return create_agent(make_model(upstream), list(tools), **options)


@pytest.mark.parametrize("saver", [None, InMemorySaver()], ids=["forgets", "remembers"])
@pytest.mark.parametrize("make", [async_graph, sync_graph, agent_graph])
def test_the_next_step_has_it(host: Host, upstream: Upstream, make: Any, saver: Any) -> None:
    """Behind the results of all calls, in one message; no node and no tool runs again."""
    gate = Gate()

    def look() -> str:
        """Look."""
        return "seen"

    bench = host(LangGraphAgent(make(upstream, [gate.hold, look], checkpointer=saver)))
    for steps in ((call("hold", "look"),), (Text(("Left.",)),)):
        upstream.script(*steps)
    run = bench.turns.start(bench.turns.remembering, "hi")
    gate.say(run, "go left", "and quickly")
    events = finish(bench, run)
    assert events[-1]["reply"] == "Left."
    assert kinds(upstream) == ["user", "assistant", "tool", "tool", "user"]
    assert upstream.requests[-1].body["messages"][-1]["content"] == "go left\n\nand quickly"
    assert (gate.calls, len(upstream.requests)) == (1, 2)
    statuses = [event["status"] for event in events if event["type"] == "steered"]
    assert statuses == ["waiting", "waiting", "taken", "taken"]


def test_what_comes_with_a_call_waits_for_its_result(host: Host, upstream: Upstream) -> None:
    """Nothing stands between a call and its result, which providers refuse."""
    gate = Gate()
    gate.left.set()
    bench = host(LangGraphAgent(agent_graph(upstream, [gate.hold])))
    run = bench.start((Text(tuple("abcd"), pace_seconds=0.1), call("hold")))
    wait_for(lambda: run.log.last_seq > 0, "the first token")
    run.steering.offer("one", said(Text(("Left.",))))
    assert finish(bench, run)[-1]["reply"] == "abcdLeft."
    assert kinds(upstream) == ["user", "assistant", "tool", "user"]


@pytest.mark.parametrize("saver", [None, InMemorySaver()], ids=["forgets", "remembers"])
def test_what_comes_with_the_last_words_is_answered_too(
    host: Host, upstream: Upstream, saver: Any
) -> None:
    """The graph runs once more, in the same turn; the next turn's model knows all of it."""
    bench = host(LangGraphAgent(agent_graph(upstream, [], checkpointer=saver)))
    key = SessionKey("tenant", "s")
    run = bench.start((Text(tuple("abcd"), pace_seconds=0.1),), key=key)
    wait_for(lambda: run.log.last_seq > 0, "the first token")
    run.steering.offer("one", said(Text(("And that.",))))
    assert finish(bench, run)[-1]["reply"] == "abcd\n\nAnd that."
    assert kinds(upstream) == ["user", "assistant", "user"]
    assert bench.talk((Text(("Next.",)),), key=key)[-1]["reply"] == "Next."
    assert kinds(upstream) == ["user", "assistant", "user", "assistant", "user"]


def test_a_regenerated_answer_forgets_what_was_said(host: Host, upstream: Upstream) -> None:
    """The whole exchange goes, with what came in its midst."""
    gate, key = Gate(), SessionKey("tenant", "s")
    with sqlite_saver() as saver:
        bench = host(LangGraphAgent(agent_graph(upstream, [gate.hold], checkpointer=saver)))
        run = bench.start((call("hold"),), key=key)
        gate.say(run, said(Text(("Left.",))))
        finish(bench, run)
        assert bench.talk((Text(("Again.",)),), key=key, regenerates=True)[-1]["reply"] == "Again."
    assert kinds(upstream) == ["user"]


def test_a_subgraphs_tool_does_not_run_again(host: Host, upstream: Upstream) -> None:
    """A graph inside of a node is not stopped: the outer one takes it behind that node."""
    gate = Gate()
    inner = agent_graph(upstream, [gate.hold])
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner)
    builder.add_node("last", asking(make_model(upstream), ()))
    builder.add_edge(START, "inner")
    builder.add_edge("inner", "last")
    bench = host(LangGraphAgent(builder.compile(), subgraphs=True))
    run = bench.start((call("hold"),), (Text(("In. ",)),))
    gate.say(run, said(Text(("Left.",))))
    assert finish(bench, run)[-1]["reply"] == "In. Left."
    assert kinds(upstream) == ["user", "assistant", "tool", "assistant", "user"]
    assert gate.calls == 1


def test_an_agent_inside_of_a_tool_is_not_stopped(host: Host, upstream: Upstream) -> None:
    """The tool that runs a graph runs once, and what it has done is not done again."""
    gate = Gate()
    helper = agent_graph(upstream, [gate.hold])
    called = []

    async def helped(config: RunnableConfig) -> str:
        """Have it done."""
        called.append(1)
        asked = {"messages": [("user", scripted_message([call("hold")], [Text(("Done.",))]))]}
        return str((await helper.ainvoke(asked, config))["messages"][-1].text)

    bench = host(LangGraphAgent(agent_graph(upstream, [helped])))
    run = bench.start((call("helped"),))
    gate.say(run, said(Text(("Left.",))))
    assert finish(bench, run)[-1]["reply"] == "Left."
    assert (len(called), gate.calls) == (1, 1)


def test_a_question_in_between_keeps_it(host: Host, upstream: Upstream) -> None:
    """What is said while the graph waits for an answer comes with the step behind that."""
    from langgraph.types import interrupt  # noqa: PLC0415 - where it is used

    def choose() -> str:
        """Ask."""
        return str(interrupt("Which?"))

    bench = host(LangGraphAgent(agent_graph(upstream, [choose])))
    run = bench.start((call("choose"),))
    wait_for(lambda: run.questions.waiting, "the question")
    run.steering.offer("one", said(Text(("Left.",))))
    assert finish(bench, run)[-1]["reply"] == "Left."
    assert kinds(upstream) == ["user", "assistant", "tool", "user"]


def test_a_graph_without_messages_listens_to_nobody(host: Host, upstream: Upstream) -> None:
    """Its state has no place for it, or its author makes what goes in."""

    class State(TypedDict):
        text: str

    async def node(state: State) -> Reply:
        return {"messages": [AIMessage(state["text"])]}

    without = LangGraphAgent(one_node(node, State))
    own = LangGraphAgent(async_graph(upstream), make_input=lambda _, said: {"messages": said})
    assert (without.takes_steering, own.takes_steering) == (False, False)
    assert LangGraphAgent(async_graph(upstream)).takes_steering
    run = host(own).start((Text(("Hello.",)),))
    assert not run.steering.is_open
    assert json.dumps(finish(host(own), run)[-1]["reply"]) == '"Hello."'
