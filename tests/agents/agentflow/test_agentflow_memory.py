"""What graphs of AgentFlow remember of a session."""

from __future__ import annotations

import pytest

from tests.agents.agentflow.parts import (
    COLOUR_STEP,
    END_STEP,
    KEY,
    Saver,
    react,
    roles_of,
    types_of,
)
from tests.agents.bench import AgentBench, Host
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    Stall,
    Text,
)
from tests.support.waiting import wait_for
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.valid_messages import NO_RESULT
from wsgi_app.store.base import SessionKey


@pytest.fixture
def remembering(flow: Host, upstream: Upstream) -> AgentBench:
    """A graph that remembers by itself."""
    return flow(react(upstream, checkpointer=Saver()))


def test_a_checkpointer_remembers_the_session(remembering: AgentBench) -> None:
    """The provider gets what the graph remembers once; other tenants' sessions are apart."""
    for key in (KEY, KEY, SessionKey("other", "s")):
        remembering.talk(END_STEP, key=key)
    sent = [len(request.body["messages"]) for request in remembering.upstream.requests]
    assert sent == [1, 3, 1]


def test_a_deleted_session_is_forgotten(remembering: AgentBench) -> None:
    """A new session that bears a deleted one's name begins with nothing."""
    remembering.talk(END_STEP, key=KEY)
    assert remembering.turns.runner.delete_session(KEY)
    remembering.talk(END_STEP, key=KEY)
    assert roles_of(remembering.upstream) == ["user"]


def test_a_cancelled_turn_does_not_spoil_the_session(remembering: AgentBench) -> None:
    """The turn after a cancelled one begins again, with an answer to the call left open."""
    run = remembering.start(COLOUR_STEP, key=KEY)
    wait_for(lambda: run.questions.waiting, "the question")
    run.cancel("user")
    wait_for(lambda: not run.goes_on() and run.published.is_set(), "nothing of it goes on")
    events = remembering.talk(END_STEP, key=KEY)
    assert roles_of(remembering.upstream) == ["user", "assistant", "tool", "assistant", "user"]
    assert remembering.upstream.requests[-1].body["messages"][2]["content"] == NO_RESULT
    assert types_of(events) == ["token", "done"]


def test_memory_outlives_the_host(flow: Host, upstream: Upstream) -> None:
    """A host that has lost its sessions goes on with the thread."""
    graph = react(upstream, checkpointer=Saver())
    flow(graph).talk(END_STEP, key=KEY)
    flow(graph).talk(END_STEP, key=KEY)
    assert roles_of(upstream) == ["user", "assistant", "user"]


def test_the_half_answer_is_known_and_a_replaced_one_is_not(remembering: AgentBench) -> None:
    """What the user saw of a stopped turn is the assistant's, until it is replaced."""
    run = remembering.start((Text(("Half",)), Stall()), key=KEY)
    wait_for(lambda: run.log.last_seq, "half an answer")
    run.cancel("user")
    wait_for(lambda: not run.goes_on() and run.published.is_set(), "nothing of it goes on")
    remembering.talk(END_STEP, key=KEY)
    sent = remembering.upstream.requests[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert "Half" in str(sent[1])
    remembering.talk(END_STEP, key=KEY, regenerates=True)
    assert roles_of(remembering.upstream) == ["user", "assistant", "user"]


def test_a_passing_session_leaves_nothing(flow: Host, upstream: Upstream) -> None:
    """A turn whose client keeps the conversation leaves no thread."""
    saver = Saver()
    bench = flow(react(upstream, checkpointer=saver))
    bench.talk(END_STEP, key=KEY, ephemeral=True, history=[])
    assert not saver._states  # noqa: SLF001 - as AgentFlow calls it
    assert not saver._messages  # noqa: SLF001 - the same


def test_graphs_keep_their_services_apart(flow: Host, upstream: Upstream) -> None:
    """Of graphs with a container each, every one has its own checkpointer."""
    savers = Saver(), Saver()
    graphs = [react(upstream, checkpointer=saver) for saver in savers]
    for number, graph in enumerate(graphs):
        flow(graph).talk(END_STEP, key=SessionKey("tenant", f"s{number}"))
    threads = [[SessionName("", "tenant", f"s{number}").thread_id] for number in range(2)]
    held = [list(saver._states) for saver in savers]  # noqa: SLF001 - as AgentFlow calls it
    assert held == threads
