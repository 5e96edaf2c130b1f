"""What a graph that remembers by itself tells the model after a turn that was stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import SecretStr

from tests.agents.bench import AgentBench, Host
from tests.support.graphs import make_model
from tests.support.savers import Saver, postgres_saver, sqlite_saver
from tests.support.upstream import Upstream
from tests.support.upstream_refusals import each_call_has_its_result, roles_take_turns
from tests.support.upstream_script import Call, Stall, Text, ToolCalls, Usage
from tests.support.waiting import wait_for
from wsgi_app import current_turn
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.engine.turn.history import NO_ANSWER
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.valid_messages import NO_RESULT
from wsgi_app.store.base import SessionKey

#: Before each test looks for processes that it has left.
pytestmark = pytest.mark.usefixtures("database")

KEY = SessionKey("tenant", "s")
THREAD = SessionName("", "tenant", "s").thread_id
TEXT_STEP = (Text(("Half an answer",)), Stall())
BOTH_STEP = (ToolCalls((Call("c1", "stock", "{}"), Call("c2", "slow", "{}"))), Usage(1, 1))
END_STEP = (Text(("Done.",)), Usage(1, 1))


def stock() -> str:
    """Count what is in stock."""
    return "seven boxes"


def slow() -> str:
    """Ask, and wait."""
    return str(current_turn().ask("Go on?"))


@pytest.fixture(
    params=[
        "memory",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("postgres", "sqlite")),
    ]
)
def saver(request: pytest.FixtureRequest) -> Iterator[Saver]:
    """A checkpointer of each kind."""
    if request.param == "memory":
        yield InMemorySaver()
    elif request.param == "sqlite":
        with sqlite_saver() as made:
            yield made
    else:
        with postgres_saver(request.getfixturevalue("database")) as made:
            yield made


@pytest.fixture
def bench(host: Host, upstream: Upstream, saver: Saver) -> AgentBench:
    """An agent of two tools, whose provider is as strict as the strictest."""
    upstream.refusals = (each_call_has_its_result, roles_take_turns)
    graph = create_agent(make_model(upstream), [stock, slow], checkpointer=saver)
    return host(LangGraphAgent(graph))


def stop(run: TurnRun) -> None:
    """Cancel a turn, and wait until nothing of it goes on."""
    run.cancel("user")
    wait_for(lambda: not run.goes_on() and run.published.is_set(), "nothing of it goes on")


def seen_by_model(upstream: Upstream) -> list[tuple[str, Any]]:
    """The roles and texts of the provider's last request, but for the users' messages."""
    messages = upstream.requests[-1].body["messages"]
    return [(m["role"], m["content"] if m["role"] != "user" else "") for m in messages]


def wait_results(run: TurnRun, count: int) -> None:
    """Wait until a turn has told so many results of tools, and asks."""
    wait_for(
        lambda: (
            run.questions.waiting
            and sum(b'"tool_result"' in e.json for e in run.log.read(0, run.log.last_seq)) == count
        ),
        "results and a question",
    )


def test_a_stop_between_parallel_calls_keeps_the_session(
    bench: AgentBench, upstream: Upstream
) -> None:
    """The result that came is the model's, the call that was stopped is answered for."""
    run = bench.start(BOTH_STEP, key=KEY)
    wait_results(run, 1)
    stop(run)
    assert [event["type"] for event in bench.talk(END_STEP, key=KEY)] == ["token", "done"]
    assert [event["type"] for event in bench.talk(END_STEP, key=KEY)] == ["token", "done"]
    seen = seen_by_model(upstream)
    assert ("tool", "seven boxes") in seen
    assert ("tool", NO_RESULT) in seen
    assert upstream.refused == []


@pytest.mark.parametrize("saver", ["postgres"], indirect=True)
def test_sessions_that_were_broken_before_go_on(
    bench: AgentBench, upstream: Upstream, saver: Saver
) -> None:
    """Each call is answered for wherever it stands, a result behind a message moves."""
    model = ChatOpenAI(model="none", api_key=SecretStr("none"))
    broken = create_agent(model, [stock, slow], checkpointer=saver)
    call = {"name": "stock", "args": {}, "id": "c1"}
    other = {"name": "slow", "args": {}, "id": "c2"}
    messages = [
        HumanMessage("one"),
        AIMessage("", tool_calls=[call, other]),
        HumanMessage("two"),
        ToolMessage("seven boxes", tool_call_id="c1"),
    ]
    thread: RunnableConfig = {"configurable": {"thread_id": THREAD}}
    broken.update_state(thread, {"messages": messages}, as_node="model")
    bench.talk(END_STEP, key=KEY)
    bench.talk(END_STEP, key=KEY)
    roles = [role for role, _ in seen_by_model(upstream)]
    assert roles[:7] == ["user", "assistant", "tool", "tool", "user", "assistant", "user"]
    assert upstream.refused == []


def test_a_stop_before_the_first_byte_leaves_an_answer(
    bench: AgentBench, upstream: Upstream
) -> None:
    """The provider never gets two messages of the user in a row."""
    run = bench.start((Stall(),), key=KEY)
    upstream.wait_request()
    stop(run)
    bench.talk(END_STEP, key=KEY)
    assert seen_by_model(upstream) == [("user", ""), ("assistant", NO_ANSWER), ("user", "")]


def test_the_model_knows_the_half_answer_that_the_user_saw(
    bench: AgentBench, upstream: Upstream
) -> None:
    """What came before a stop in mid-text is the assistant's, and said once."""
    run = bench.start(TEXT_STEP, key=KEY)
    wait_for(lambda: run.log.last_seq, "the half answer")
    stop(run)
    bench.talk(END_STEP, key=KEY)
    bench.talk(END_STEP, key=KEY)
    (_, first, *_) = seen = seen_by_model(upstream)
    assert first == ("assistant", "Half an answer\n\n(This answer was stopped here.)")
    assert [role for role, _ in seen] == ["user", "assistant", "user", "assistant", "user"]


def test_a_stop_behind_tools_leaves_their_results_and_the_half_answer(
    bench: AgentBench, upstream: Upstream
) -> None:
    """Each step that came to its end is there once, and the half one."""
    run = bench.start((ToolCalls((Call("c1", "stock", "{}"),)),), TEXT_STEP, key=KEY)
    wait_for(lambda: b"Half" in b"".join(e.json for e in run.log.read(0, 9)), "half an answer")
    stop(run)
    bench.talk(END_STEP, key=KEY)
    roles = [role for role, _ in seen_by_model(upstream)]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_a_failing_sibling_does_not_spoil_the_session(
    host: Host, upstream: Upstream, saver: Saver
) -> None:
    """A tool that raises ends the turn; the other's result stays, its own call is answered for."""

    def fail() -> str:
        """Fail once the other's result is told."""
        turn = current_turn()
        wait_for(lambda: turn.cancelled or told.is_set(), "the other's result")
        raise OSError("broken")

    def stock() -> str:
        """Count what is in stock."""
        told.set()
        return "seven boxes"

    told = threading.Event()
    upstream.refusals = (each_call_has_its_result, roles_take_turns)
    graph = create_agent(make_model(upstream), [stock, fail], checkpointer=saver)
    bench = host(LangGraphAgent(graph))
    both = (ToolCalls((Call("c1", "stock", "{}"), Call("c2", "fail", "{}"))),)
    assert bench.talk(both, key=KEY)[-1]["type"] == "error"
    assert bench.talk(END_STEP, key=KEY)[-1]["type"] == "done"
    assert upstream.refused == []


def test_what_ran_in_a_subgraph_is_known_after_a_stop(
    host: Host, upstream: Upstream, saver: Saver
) -> None:
    """A subgraph that was stopped gives its parent nothing; the model gets what the user saw."""
    upstream.refusals = (each_call_has_its_result, roles_take_turns)
    inner = create_agent(make_model(upstream), [stock, slow])
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    bench = host(LangGraphAgent(builder.compile(checkpointer=saver), subgraphs=True))
    run = bench.start(
        (ToolCalls((Call("c1", "stock", "{}"),)),),
        (ToolCalls((Call("c2", "slow", "{}"),)),),
        key=KEY,
    )
    wait_for(lambda: run.questions.waiting, "the question")
    stop(run)
    bench.talk(END_STEP, key=KEY)
    seen = seen_by_model(upstream)
    assert [role for role, _ in seen] == [
        *("user", "assistant", "tool", "assistant", "tool", "assistant", "user")
    ]
    assert ("tool", "seven boxes") in seen
    assert upstream.refused == []


def test_a_cancelled_interrupt_beside_a_result_keeps_the_session(
    host: Host, upstream: Upstream, saver: Saver
) -> None:
    """A call that waits by ``interrupt()`` is answered for, and asks nothing in later turns."""

    def confirm() -> str:
        """Wait for the user."""
        return str(interrupt("Go on?"))

    upstream.refusals = (each_call_has_its_result, roles_take_turns)
    graph = create_agent(make_model(upstream), [stock, confirm], checkpointer=saver)
    bench = host(LangGraphAgent(graph))
    both = (ToolCalls((Call("c1", "stock", "{}"), Call("c2", "confirm", "{}"))),)
    run = bench.start(both, key=KEY)
    wait_results(run, 1)
    stop(run)
    for _ in range(2):
        assert [event["type"] for event in bench.talk(END_STEP, key=KEY)] == ["token", "done"]
    assert ("tool", "seven boxes") in seen_by_model(upstream)
    assert upstream.refused == []
