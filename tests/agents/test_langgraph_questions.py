"""What graphs of LangGraph ask in the middle of a turn."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import interrupt

from tests.agents.bench import Host, events_of
from tests.support.graphs import async_graph, prebuilt_graph, sync_graph
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, Usage
from tests.support.waiting import wait_for
from wsgi_app.agents.langgraph import LangGraphAgent

NOTHING = (Text(("",)),)
COLOUR_STEP = (ToolCalls((Call("c1", "colour", "{}"),)), Usage(1, 1))
END_STEP = (Text(("Done.",)), Usage(1, 1))


def colour() -> str:
    """Ask for a colour by LangGraph's own means."""
    return str(interrupt("Which colour?"))


def types_of(events: list[dict[str, Any]]) -> list[str]:
    """The events' types in their order."""
    return [event["type"] for event in events]


def prompts_of(events: list[dict[str, Any]]) -> list[str]:
    """What a turn asked, in its order."""
    return [event["prompt"] for event in events if event["type"] == "input_request"]


@pytest.mark.parametrize("saver", [None, InMemorySaver()], ids=["none", "own"])
@pytest.mark.parametrize("make", [async_graph, sync_graph, prebuilt_graph])
def test_an_interrupt_is_a_question(host: Host, upstream: Upstream, make: Any, saver: Any) -> None:
    """A tool's interrupt asks the user, and the answer resumes it in the same turn.

    Also in a graph without a checkpointer; call and result are told once each.
    """
    events = host(LangGraphAgent(make(upstream, [colour], checkpointer=saver))).talk(
        COLOUR_STEP, END_STEP
    )
    assert types_of(events) == ["tool_call", "input_request", "tool_result", "token", "done"]
    assert (events[1]["prompt"], events[2]["output"]) == ("Which colour?", "blue")
    assert len(upstream.requests) == 2


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

    bench = host(LangGraphAgent(async_graph(upstream, [now], interrupt_before=["tools"])))
    run = bench.start((ToolCalls((Call("c1", "now", "{}"),)),), END_STEP)
    bench.finish(run, answer)
    events = events_of(run)
    assert types_of(events) == types
    assert prompts_of(events) == ["Go on with tools?"]


@pytest.mark.parametrize("make", [async_graph, sync_graph])
def test_a_cancel_frees_who_waits(host: Host, upstream: Upstream, make: Any) -> None:
    """A turn that waits in an interrupt ends with its cancel, and leaves no task."""
    bench = host(LangGraphAgent(make(upstream, [colour])))
    run = bench.start(COLOUR_STEP)
    wait_for(lambda: run.questions.waiting, "the question")
    run.cancel("user")
    assert run.wait_ended(10)
    wait_for(lambda: not run.goes_on(), "nothing of it goes on")
    assert types_of(events_of(run)) == ["tool_call", "input_request", "cancelled"]
