"""A turn that replaces the newest exchange, where a graph remembers by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from langgraph.checkpoint.memory import InMemorySaver

from tests.agents.bench import AgentBench, Host
from tests.support.conversation import add
from tests.support.graphs import async_graph
from tests.support.savers import Saver, postgres_saver
from tests.support.upstream import Upstream
from tests.support.upstream_refusals import each_call_has_its_result, roles_take_turns
from tests.support.upstream_script import Call, Stall, Text, ToolCalls
from tests.support.waiting import wait_for
from wsgi_app import AgentHost
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.store.base import SessionKey

pytestmark = pytest.mark.usefixtures("database")

KEY = SessionKey("tenant", "s")
THREAD = SessionName("", "tenant", "s").thread_id
ADD_STEP = (ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),)),)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.slow)])
def saver(request: pytest.FixtureRequest) -> Iterator[Saver]:
    """A checkpointer of the process, and one of a database."""
    if request.param == "memory":
        yield InMemorySaver()
        return
    with postgres_saver(request.getfixturevalue("database")) as made:
        yield made


@pytest.fixture
def bench(host: Host, upstream: Upstream, saver: Saver) -> AgentBench:
    """A graph with a tool."""
    upstream.refusals = (each_call_has_its_result, roles_take_turns)
    return host(LangGraphAgent(async_graph(upstream, [add], checkpointer=saver)))


def say(text: str) -> tuple[Any, ...]:
    """A script that says it."""
    return (Text((text,)),)


def seen(upstream: Upstream) -> list[Any]:
    """What the provider's last request held: roles, and the assistant's texts."""
    return [
        message["content"] if message["role"] == "assistant" else message["role"]
        for message in upstream.requests[-1].body["messages"]
    ]


def test_an_answer_is_replaced(bench: AgentBench, upstream: Upstream) -> None:
    """The model gets what was before the exchange, again and again; so does the next turn."""
    bench.talk(say("one"), key=KEY)
    bench.talk(ADD_STEP, say("two"), key=KEY)
    for text in ("three", "four"):
        bench.talk(ADD_STEP, say(text), key=KEY, regenerates=True)
        assert seen(upstream)[:3] == ["user", "one", "user"]
        assert seen(upstream)[3:] == [None, "tool"]
    bench.talk(say("five"), key=KEY)
    assert seen(upstream) == ["user", "one", "user", None, "tool", "four", "user"]
    assert upstream.refused == []


def test_the_first_answer_is_replaced(bench: AgentBench, upstream: Upstream) -> None:
    """Nothing of a thread stays whose only exchange is replaced."""
    bench.talk(say("one"), key=KEY)
    bench.talk(say("two"), key=KEY, regenerates=True)
    assert seen(upstream) == ["user"]
    bench.talk(say("three"), key=KEY)
    assert seen(upstream) == ["user", "two", "user"]


def test_a_stopped_answer_is_replaced(bench: AgentBench, upstream: Upstream) -> None:
    """Neither its calls nor what the user saw of it come back."""
    bench.talk(say("one"), key=KEY)
    run = bench.start(ADD_STEP, (Text(("half",)), Stall()), key=KEY)
    wait_for(lambda: b"half" in b"".join(e.json for e in run.log.read(0, 9)), "half an answer")
    run.cancel("user")
    wait_for(lambda: not run.goes_on() and run.published.is_set(), "nothing of it goes on")
    bench.talk(say("two"), key=KEY, regenerates=True)
    assert seen(upstream) == ["user", "one", "user"]


def test_an_answer_behind_a_stopped_one_is_replaced(bench: AgentBench, upstream: Upstream) -> None:
    """What was before it is told as the user saw it, though the thread holds it by halves."""
    run = bench.start((Text(("half",)), Stall()), key=KEY)
    wait_for(lambda: run.log.last_seq, "half an answer")
    run.cancel("user")
    wait_for(lambda: not run.goes_on() and run.published.is_set(), "nothing of it goes on")
    bench.talk(say("one"), key=KEY)
    bench.talk(say("two"), key=KEY, regenerates=True)
    assert seen(upstream) == ["user", "half\n\n(This answer was stopped here.)", "user"]


def ai_sdk(text: str, *, trigger: str = "submit-message", message_id: str = "m") -> dict[str, Any]:
    """What the AI SDK posts for a chat's only message."""
    message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": "s", "messages": [message], "trigger": trigger, "messageId": message_id}


def ag_ui(run: str) -> dict[str, Any]:
    """What AG-UI posts for a thread's only message."""
    fixed: dict[str, Any] = {"state": {}, "tools": [], "context": [], "forwardedProps": {}}
    message = {"id": "m", "role": "user", "content": "hi"}
    return {"threadId": "s", "runId": run, "messages": [message], **fixed}


#: A path, its first request, and one that takes its place.
WIRES = {
    "regenerate": (
        "/ai-sdk/chat",
        ai_sdk("hi", message_id=""),
        ai_sdk("hi", trigger="regenerate-message", message_id="answer"),
    ),
    "edit": ("/ai-sdk/chat", ai_sdk("hi", message_id=""), ai_sdk("hello")),
    "repeated run": ("/ag-ui", ag_ui("r-1"), ag_ui("r-2")),
}


@pytest.mark.parametrize("wire", WIRES)
def test_clients_replace_what_the_graph_remembers(
    upstream: Upstream, saver: Saver, wire: str
) -> None:
    """The AI SDK's regenerate and edit, and AG-UI's repeated run: the model gets one message."""
    path, first, second = WIRES[wire]
    app = Flask("site")
    agent = LangGraphAgent(async_graph(upstream, [add], checkpointer=saver))
    AgentHost(agent).init_app(app, url_prefix="/agents")
    for body in (first, second):
        headers = {"Authorization": "Bearer dev"}
        answer = app.test_client().post(f"/agents{path}", json=body, headers=headers)
        assert answer.status_code == 200, answer.data
        assert b"upstream" in answer.data
    assert len(upstream.requests) == 2
    assert seen(upstream) == ["user"]


def test_what_failed_before_it_was_written_takes_nothing_with_it(
    host: Host, upstream: Upstream, saver: Saver
) -> None:
    """A turn without a checkpoint is replaced by one behind the exchange before it."""
    graph = LangGraphAgent(async_graph(upstream, [add], checkpointer=saver))
    fails = [False, True, False]

    async def agent(turn: Any) -> None:
        if fails[int(turn.turn_id) - 1]:
            raise OSError("broken")
        await graph(turn)

    bench = host(agent)
    bench.talk(say("one"), key=KEY)
    bench.talk(say("two"), key=KEY)
    bench.talk(say("three"), key=KEY, regenerates=True)
    assert seen(upstream) == ["user", "one", "user"]
