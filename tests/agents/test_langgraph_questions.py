"""What graphs of LangGraph ask in the middle of a turn."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from tests.agents.bench import AgentBench, events_of
from tests.support.graphs import Reply, async_graph, one_node, prebuilt_graph, sync_graph
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, Usage
from tests.support.waiting import wait_for
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.engine.run import TurnRun

Host = Callable[..., AgentBench]
NOTHING = (Text(("",)),)
COLOUR_STEP = (ToolCalls((Call("c1", "colour", "{}"),)), Usage(1, 1))
END_STEP = (Text(("Done.",)), Usage(1, 1))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The scripted provider."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def host(upstream: Upstream) -> Iterator[Host]:
    """Puts one graph on the engine."""
    benches: list[AgentBench] = []

    def start(graph: Any, **settings: Any) -> AgentBench:
        benches.append(AgentBench(LangGraphAgent(graph), upstream, **settings))
        return benches[-1]

    yield start
    for bench in benches:
        bench.close()


def colour() -> str:
    """Ask for a colour by LangGraph's own means."""
    return str(interrupt("Which colour?"))


def types_of(events: list[dict[str, Any]]) -> list[str]:
    """The events' types in their order."""
    return [event["type"] for event in events]


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


@pytest.mark.parametrize("saver", [None, InMemorySaver()], ids=["none", "own"])
@pytest.mark.parametrize("make", [async_graph, sync_graph, prebuilt_graph])
def test_an_interrupt_is_a_question(host: Host, upstream: Upstream, make: Any, saver: Any) -> None:
    """A tool's interrupt asks the user, and the answer resumes it in the same turn.

    Also in a graph without a checkpointer; call and result are told once each.
    """
    events = host(make(upstream, [colour], checkpointer=saver)).talk(COLOUR_STEP, END_STEP)
    assert types_of(events) == ["tool_call", "input_request", "tool_result", "token", "done"]
    assert (events[1]["prompt"], events[2]["output"]) == ("Which colour?", "blue")
    assert len(upstream.requests) == 2


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
    bench = host(builder.compile())
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

    bench = host(one_node(node))
    run = bench.start(NOTHING)
    answer_next(bench, run, 1, "many")
    answer_next(bench, run, 2, 41)
    bench.finish(run)
    events = events_of(run)
    assert prompts_of(events) == ["How many?", "How many?"]
    assert events[0]["schema"] == {"type": "integer"}
    assert events[-1]["reply"] == "42"


@pytest.mark.parametrize(
    ("answer", "types"),
    [
        (True, ["tool_call", "input_request", "tool_result", "token", "done"]),
        ("no", ["tool_call", "input_request", "done"]),
    ],
)
def test_a_breakpoint_asks_whether_to_go_on(
    host: Host, upstream: Upstream, answer: Any, types: list[str]
) -> None:
    """A graph that is compiled to stop before its tools goes on with the user's yes alone."""

    def now() -> str:
        """The time."""
        return "noon"

    bench = host(async_graph(upstream, [now], interrupt_before=["tools"]))
    run = bench.start((ToolCalls((Call("c1", "now", "{}"),)),), END_STEP)
    bench.finish(run, answer)
    events = events_of(run)
    assert types_of(events) == types
    assert prompts_of(events) == ["Go on with tools?"]


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

    bench = host(one_node(node))
    run = bench.start(NOTHING)
    answer_next(bench, run, 1, "yes")
    bench.finish(run, answer)
    assert prompts_of(events_of(run)) == [
        'Allow delete({"path":"a"})?',
        'Allow delete({"path":"b"})?',
    ]
    assert decided == [{"decisions": [{"type": "approve"}, decision]}]


@pytest.mark.parametrize("make", [async_graph, sync_graph])
def test_a_cancel_frees_who_waits(host: Host, upstream: Upstream, make: Any) -> None:
    """A turn that waits in an interrupt ends with its cancel, and leaves no task."""
    bench = host(make(upstream, [colour]))
    run = bench.start(COLOUR_STEP)
    wait_for(lambda: run.questions.waiting, "the question")
    run.cancel("user")
    wait_for(lambda: not run.goes_on(), "nothing of it goes on")
    assert types_of(events_of(run)) == ["tool_call", "input_request", "cancelled"]
