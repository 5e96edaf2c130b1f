"""Graphs that are nodes of a graph: with `subgraphs="nested"` they are sub-agents of the turn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send, StreamWriter, interrupt

from tests.agents.bench import Host, events_of, places_of
from tests.agents.test_langgraph_nested import tool_of
from tests.support.conversation import add
from tests.support.graphs import Graph, Reply, async_graph, one_node
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, Usage, scripted_message
from tests.support.waiting import wait_for
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.engine.turn.children import MAX_OPEN_CHILDREN
from wsgi_app.store.base import SessionKey

NOTHING = (Text(("",)),)
ADD = ToolCalls((Call("c0", "add", '{"a": 1, "b": 2}'),))
END_STEP = (Text(("Done.",)), Usage(5, 2))
SAY = scripted_message((Text(("Two. ", "Three.")), Usage(1, 1)), tag="says")


def asked(graph: Graph, script: str) -> Any:
    """A node in which a graph does what a script says."""

    def make(_: MessagesState) -> Reply:
        return {"messages": [HumanMessage(script)]}

    return chain(task=make, work=graph).compile()


def said(*texts: str) -> Graph:
    """A graph that says these, each as one message."""

    def say(_: MessagesState) -> Reply:
        return {"messages": [AIMessage(text) for text in texts]}

    return one_node(say)


def chain(**nodes: Any) -> StateGraph[Any, Any, Any, Any]:
    """Nodes one behind the other, not compiled yet."""
    builder = StateGraph(MessagesState)
    for name, node in nodes.items():
        builder.add_node(name, node)
    for before, name in zip([START, *nodes], nodes):
        builder.add_edge(before, name)
    return builder


def nested(graph: Any) -> LangGraphAgent:
    """The agent that shows its graph's graphs."""
    return LangGraphAgent(graph, subgraphs="nested")


def shown(events: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The events' places, the tasks' names by their agents'."""
    names = {
        event["call_id"]: event["tool"]
        for event in events
        if event["type"] == "tool_call" and event["call_id"].rpartition(".")[2].startswith("node_")
    }

    def named(text: str) -> str:
        for call_id in sorted(names, key=len, reverse=True):
            text = text.replace(call_id, names[call_id])
        return text

    return [tuple(named(one) for one in place) for place in places_of(events)]


def test_what_its_nodes_say_is_nested(host: Host, upstream: Upstream) -> None:
    """A graph that is a node is a sub-agent with a call of its own, and so is one within it."""
    script = scripted_message((Text(("I ", "add. ")), ADD, Usage(1, 1)), END_STEP, tag="in")

    def tell(state: MessagesState) -> Reply:
        return {"messages": [AIMessage(f"It said: {state['messages'][-1].text}")]}

    team = asked(async_graph(upstream, [add]), script)
    events = host(nested(chain(team=team, tell=tell).compile())).talk(NOTHING)
    assert shown(events) == [
        ("", "", "tool_call", "team"),
        ("team", "team", "tool_call", "work"),
        ("work", "work", "token", "I "),
        ("work", "work", "token", "add. "),
        ("work", "work", "tool_call", "work.c0"),
        ("work", "work", "tool_result", "work.c0"),
        ("work", "work", "token", "Done."),
        ("team", "team", "tool_result", "work"),
        ("", "", "tool_result", "team"),
        ("", "", "token", "It said: Done."),
        ("", "", "done", ""),
    ]
    results = [event["output"] for event in events if event["type"] == "tool_result"]
    assert results[1] == "I add. \n\nDone."
    assert events[-1]["usage"]["total_tokens"] == 9


def test_a_sub_agents_last_words_are_the_answer(host: Host, upstream: Upstream) -> None:
    """Where nobody speaks behind it, the turn says what a sub-agent said last, and once."""
    two = chain(first=said("One."), last=asked(async_graph(upstream, []), SAY)).compile()
    bench = host(nested(two))
    events = bench.talk(NOTHING)
    texts = [(e.get("agent"), e["content"]) for e in events if e["type"] == "token"]
    assert texts == [
        ("first", "One."),
        ("work", "Two. "),
        ("work", "Three."),
        (None, "Two. Three."),
    ]
    assert events[-1]["reply"] == "Two. Three."


def test_a_copy_is_not_said_again(host: Host) -> None:
    """A function that runs a graph and passes on what it said, as its own, repeats nothing."""
    graph = said("Found.")

    async def search(state: MessagesState, config: RunnableConfig) -> Reply:
        found = await graph.ainvoke({"messages": state["messages"]}, config)
        return {"messages": [AIMessage(found["messages"][-1].text, name="search")]}

    events = host(nested(chain(search=search, end=lambda _: {"messages": []}).compile())).talk(
        NOTHING
    )
    texts = [(e.get("agent"), e["content"]) for e in events if e["type"] == "token"]
    assert texts == [("search", "Found."), (None, "Found.")]


def test_what_a_tool_in_it_runs_is_deeper(host: Host, upstream: Upstream) -> None:
    """A graph that a tool of a node's graph runs is below that tool's call."""
    deep = async_graph(upstream, [], name="deep")
    inner = async_graph(upstream, [tool_of(deep, "dig", is_async=True)])
    dig = ToolCalls((Call("c0", "dig", json.dumps({"script": SAY})),))
    script = scripted_message((dig, Usage(1, 1)), END_STEP, tag="digs")
    events = host(nested(asked(inner, script))).talk(NOTHING)
    assert shown(events)[:5] == [
        ("", "", "tool_call", "work"),
        ("work", "work", "tool_call", "work.c0"),
        ("work.c0", "deep", "token", "Two. "),
        ("work.c0", "deep", "token", "Three."),
        ("work", "work", "tool_result", "work.c0"),
    ]


def test_a_question_in_it_waits(host: Host) -> None:
    """Behind a question the node runs again: it is the same sub-agent, with one call and result."""

    def ask(_: MessagesState) -> Reply:
        return {"messages": [AIMessage(str(interrupt("Which?")))]}

    inner = chain(first=lambda _: {"messages": [AIMessage("Hm. ")]}, ask=ask).compile()
    bench = host(nested(chain(work=inner).compile(checkpointer=InMemorySaver())))
    run = bench.start(NOTHING)
    bench.finish(run, "red")
    assert shown(events_of(run)) == [
        ("", "", "tool_call", "work"),
        ("work", "work", "token", "Hm. "),
        ("", "", "input_request", ""),
        ("work", "work", "token", "red"),
        ("", "", "tool_result", "work"),
        ("", "", "token", "red"),
        ("", "", "done", ""),
    ]


def test_a_handoff_ends_it(host: Host) -> None:
    """A node's graph that hands over to another node has a result, and the other one goes on."""

    def over(_: MessagesState) -> Command[Any]:
        call = {"name": "to_bob", "args": {}, "id": "c0"}
        update = {
            "messages": [AIMessage("", tool_calls=[call]), ToolMessage("Over.", tool_call_id="c0")]
        }
        return Command(goto="bob", graph=Command.PARENT, update=update)

    call = {"name": "to_bob", "args": {}, "id": "c0"}
    say = AIMessage("Ask Bob.", tool_calls=[call])
    alice = chain(say=lambda _: {"messages": [say]}, over=over).compile()
    builder = StateGraph(MessagesState)
    builder.add_node("alice", alice, destinations=("bob",))
    builder.add_node("bob", said("I am Bob."))
    builder.add_edge(START, "alice")
    assert shown(host(nested(builder.compile())).talk(NOTHING)) == [
        ("", "", "tool_call", "alice"),
        ("alice", "alice", "token", "Ask Bob."),
        ("alice", "alice", "tool_call", "alice.c0"),
        ("alice", "alice", "tool_result", "alice.c0"),
        ("", "", "tool_result", "alice"),
        ("", "", "tool_call", "bob"),
        ("bob", "bob", "token", "I am Bob."),
        ("", "", "tool_result", "bob"),
        ("", "", "token", "I am Bob."),
        ("", "", "done", ""),
    ]


def test_one_that_fails_has_a_failed_call(host: Host) -> None:
    """What a node's graph raises fails its call too, without a word of why."""

    def fail(_: MessagesState) -> None:
        raise ValueError("secret")

    inner = chain(say=lambda _: {"messages": [AIMessage("Now. ")]}, fail=fail).compile()
    events = host(nested(chain(work=inner).compile())).talk(NOTHING)
    assert [event["type"] for event in events] == ["tool_call", "token", "tool_result", "error"]
    assert events[2]["status"] == "error"
    assert "secret" not in json.dumps(events)


def test_what_it_writes_to_the_stream_is_its_own(host: Host) -> None:
    """A status of a node within is the sub-agent's."""

    def look(_: MessagesState, writer: StreamWriter) -> None:
        writer("looking")

    events = host(nested(chain(work=chain(look=look).compile()).compile())).talk(NOTHING)
    assert ("work", "work", "status", "looking") in shown(events)


def test_too_many_at_once_are_silent(host: Host) -> None:
    """Of more sub-agents at once than a turn may have, the others work on unseen."""
    more = MAX_OPEN_CHILDREN + 3

    def ask(_: MessagesState) -> str:
        return str(interrupt("Go?"))

    # They wait together, so that all are open.
    each = chain(say=lambda _: {"messages": [AIMessage("Hi. ")]}, ask=ask).compile()
    builder = StateGraph(MessagesState)
    builder.add_node("each", each)
    builder.add_conditional_edges(START, lambda s: [Send("each", s) for _ in range(more)], ["each"])
    bench = host(nested(builder.compile()))
    run = bench.start(NOTHING)
    wait_for(lambda: run.questions.waiting, "a question")
    calls = [event for event in events_of(run) if event["type"] == "tool_call"]
    assert len(calls) == MAX_OPEN_CHILDREN
    bench.turns.runner.cancel(run.fence.key, None, "user")


def test_its_call_is_no_call_of_the_memorys(host: Host) -> None:
    """A graph that remembers is not told of a call that it never made, also behind a stop."""
    seen: list[list[Any]] = []

    def look(state: MessagesState) -> Reply:
        seen.append(list(state["messages"]))
        return {"messages": [AIMessage(f"{len(seen)}")]}

    def wait(_: MessagesState) -> None:
        if len(seen) == 1:
            interrupt("Go on?")

    graph = chain(work=said("Found."), look=look, wait=wait).compile(checkpointer=InMemorySaver())
    bench = host(nested(graph))
    key = SessionKey("tenant", "s")
    run = bench.start(NOTHING, key=key)
    wait_for(lambda: run.questions.waiting, "a question")
    bench.turns.runner.cancel(run.fence.key, None, "user")
    wait_for(run.published.is_set, "the turn has ended")
    bench.talk(NOTHING, key=key)
    assert [message.tool_calls for message in seen[-1] if isinstance(message, AIMessage)] == [
        [],
        [],
        [],
    ]


def test_other_words_are_refused() -> None:
    """A typo is not taken for a choice."""
    with pytest.raises(ValueError, match="nested"):
        LangGraphAgent(said("Hi."), subgraphs="nest")  # type: ignore[arg-type] # that is the point
