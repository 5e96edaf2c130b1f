"""What graphs of LangGraph ask and tell from inside of their nodes.

From Python 3.11 on: before, nodes have neither `interrupt` nor a stream writer in async runs.
"""

from __future__ import annotations

import json
import operator
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import StreamWriter, interrupt

from tests.agents.bench import AgentBench, Host, events_of
from tests.support.graphs import Reply, one_node
from tests.support.upstream_script import Call, Text, ToolCalls, Usage
from tests.support.waiting import wait_for
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.events import Thinking

NOTHING = (Text(("",)),)
COLOUR_STEP = (ToolCalls((Call("c1", "colour", "{}"),)), Usage(1, 1))
END_STEP = (Text(("Done.",)), Usage(1, 1))


def prompts_of(events: list[dict[str, Any]]) -> list[str]:
    """What a turn asked, in its order."""
    return [event["prompt"] for event in events if event["type"] == "input_request"]


def answer_next(bench: AgentBench, run: TurnRun, number: int, answer: Any) -> None:
    """Wait for a turn's question of this number, counted from 1, and answer it."""
    wait_for(
        lambda: run.questions.waiting and len(prompts_of(events_of(run))) == number,
        f"question {number}",
    )
    (question,) = [e for e in events_of(run)[-1:] if e["type"] == "input_request"]
    value = json.dumps(answer).encode()
    bench.turns.store.post_input(run.fence.key, question["request_id"], value)


class Colours(MessagesState):
    """A state that several nodes add to."""

    colours: Annotated[list[str], operator.add]


def test_interrupts_at_the_same_time_are_asked_in_turn(host: Host) -> None:
    """What parallel nodes ask is asked one after the other, and each gets its own answer."""

    def ask(name: str) -> Any:
        return lambda _: {"colours": [f"{name} {interrupt({'for': name})}"]}

    def tell(state: Colours) -> Reply:
        return {"messages": [AIMessage(", ".join(sorted(state["colours"])))]}

    builder = StateGraph(Colours)
    for name in ("door", "roof"):
        builder.add_node(name, ask(name))
        builder.add_edge(START, name)
    builder.add_node("silent", lambda _: {"colours": ["wall white"]})
    builder.add_edge(START, "silent")
    builder.add_node("tell", tell)
    builder.add_edge(["door", "roof", "silent"], "tell")
    bench = host(LangGraphAgent(builder.compile()))
    run = bench.start(NOTHING)
    answer_next(bench, run, 1, "red")
    answer_next(bench, run, 2, "blue")
    bench.finish(run)
    events = events_of(run)
    assert prompts_of(events) == ['{"for":"door"}', '{"for":"roof"}']
    assert events[-1]["reply"] == "door red, roof blue, wall white"


def test_an_answer_that_does_not_fit_is_asked_again(host: Host) -> None:
    """An interrupt with a schema hands it to the client, and takes no answer that breaks it."""

    def node(_: MessagesState) -> Reply:
        number = interrupt("How many?", response_schema=int)
        return {"messages": [AIMessage(f"{number + 1}")]}

    bench = host(LangGraphAgent(one_node(node)))
    run = bench.start(NOTHING)
    answer_next(bench, run, 1, "many")
    answer_next(bench, run, 2, 41)
    bench.finish(run)
    events = events_of(run)
    assert prompts_of(events) == ["How many?", "How many?"]
    assert events[0]["schema"] == {"type": "integer"}
    assert events[-1]["reply"] == "42"


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (True, {"type": "approve"}),
        ("no", {"type": "reject"}),
        ("too late", {"type": "reject", "message": "too late"}),
        ({"type": "respond", "message": "ask me"}, {"type": "respond", "message": "ask me"}),
    ],
)
def test_approvals_of_langchain_are_yes_or_no(
    host: Host, answer: Any, decision: dict[str, Any]
) -> None:
    """What HumanInTheLoopMiddleware asks is asked call by call, and the answers are decisions."""
    decided: list[Any] = []

    def node(_: MessagesState) -> None:
        calls = [{"name": "delete", "args": {"path": path}} for path in ("a", "b")]
        decided.append(interrupt({"action_requests": calls, "review_configs": []}))

    bench = host(LangGraphAgent(one_node(node)))
    run = bench.start(NOTHING)
    answer_next(bench, run, 1, "yes")
    bench.finish(run, answer)
    assert prompts_of(events_of(run)) == [
        'Allow delete({"path": "a"})?',
        'Allow delete({"path": "b"})?',
    ]
    assert decided == [{"decisions": [{"type": "approve"}, decision]}]


def test_nodes_may_send_events(host: Host) -> None:
    """Of what nodes write to the stream, text becomes a status, the host's events go out as is."""

    def node(_: MessagesState, writer: StreamWriter) -> None:
        for item in ("looking", Thinking("hm"), "done soon", {"of": "no use"}):
            writer(item)

    events = host(LangGraphAgent(one_node(node))).talk((Text(("",)),))
    assert [(event["type"], event.get("content")) for event in events] == [
        ("status", "looking"),
        ("thinking", "hm"),
        ("status", "done soon"),
        ("done", None),
    ]
