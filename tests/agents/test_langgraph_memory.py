"""Graphs of LangGraph that remember by a checkpointer of their own."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState

from tests.agents.bench import Host
from tests.support.graphs import Reply, async_graph, one_node
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, Usage
from tests.support.waiting import wait_for
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.valid_messages import NO_RESULT
from wsgi_app.store.base import SessionKey

KEY = SessionKey("tenant", "s")
THREAD = SessionName("", "tenant", "s").thread_id
COLOUR_STEP = (ToolCalls((Call("c1", "pick_colour", "{}"),)), Usage(1, 1))
END_STEP = (Text(("Done.",)), Usage(1, 1))


class SyncSaver(InMemorySaver):
    """Knows sync calls alone, like PostgresSaver and SqliteSaver."""

    async def aget_tuple(self, config: RunnableConfig) -> Any:
        """See `BaseCheckpointSaver.aget_tuple`."""
        return await BaseCheckpointSaver.aget_tuple(self, config)

    async def aput(self, *args: Any) -> Any:
        """See `BaseCheckpointSaver.aput`."""
        return await BaseCheckpointSaver.aput(self, *args)

    async def aput_writes(self, *args: Any) -> None:
        """See `BaseCheckpointSaver.aput_writes`."""
        await BaseCheckpointSaver.aput_writes(self, *args)

    async def adelete_thread(self, thread_id: str) -> None:
        """See `BaseCheckpointSaver.adelete_thread`."""
        await BaseCheckpointSaver.adelete_thread(self, thread_id)


SAVERS = pytest.mark.parametrize("saver_type", [InMemorySaver, SyncSaver])


def roles_of(upstream: Upstream) -> list[str]:
    """Whose messages the provider's last request held."""
    return [message["role"] for message in upstream.requests[-1].body["messages"]]


@SAVERS
def test_a_checkpointer_remembers_the_session(
    host: Host, upstream: Upstream, saver_type: type[InMemorySaver]
) -> None:
    """The provider gets what the graph remembers once, and the graph keeps the user's storage."""
    saver = saver_type()
    bench = host(LangGraphAgent(async_graph(upstream, checkpointer=saver)))
    bench.talk(END_STEP, key=KEY)
    bench.talk(END_STEP, key=KEY)
    assert roles_of(upstream) == ["user", "assistant", "user"]
    stored = saver.get_tuple({"configurable": {"thread_id": THREAD}})
    assert stored is not None
    assert len(stored.checkpoint["channel_values"]["messages"]) == 4


def test_sessions_of_tenants_are_apart(host: Host, upstream: Upstream) -> None:
    """The same session name of another tenant is another thread of the checkpointer."""
    bench = host(LangGraphAgent(async_graph(upstream, checkpointer=InMemorySaver())))
    for key in (KEY, SessionKey("other", "s")):
        bench.talk(END_STEP, key=key)
        assert roles_of(upstream) == ["user"]


@SAVERS
def test_a_deleted_session_is_forgotten(
    host: Host, upstream: Upstream, saver_type: type[InMemorySaver]
) -> None:
    """A new session that bears a deleted one's name begins with nothing."""
    bench = host(LangGraphAgent(async_graph(upstream, checkpointer=saver_type())))
    bench.talk(END_STEP, key=KEY)
    assert bench.turns.runner.delete_session(KEY)
    bench.talk(END_STEP, key=KEY)
    assert roles_of(upstream) == ["user"]


def test_what_the_checkpointer_lost_comes_from_the_history(host: Host, upstream: Upstream) -> None:
    """A checkpointer that knows nothing of the session is given the host's history."""
    saver = InMemorySaver()
    bench = host(LangGraphAgent(async_graph(upstream, checkpointer=saver)))
    bench.talk(END_STEP, key=KEY)
    saver.delete_thread(THREAD)  # as in another worker's memory
    bench.talk(END_STEP, key=KEY)
    assert roles_of(upstream) == ["user", "assistant", "user"]


@SAVERS
def test_a_cancelled_call_does_not_spoil_the_session(
    host: Host, upstream: Upstream, saver_type: type[InMemorySaver]
) -> None:
    """A call that a cancel left without a result is answered for, as providers want it."""
    bench = host(LangGraphAgent(async_graph(upstream, checkpointer=saver_type())))
    run = bench.start(COLOUR_STEP, key=KEY)
    wait_for(lambda: run.questions.waiting, "the question")
    run.cancel("user")
    wait_for(lambda: not run.goes_on() and run.published.is_set(), "nothing of it goes on")
    events = bench.talk(END_STEP, key=KEY)
    assert roles_of(upstream) == ["user", "assistant", "tool", "assistant", "user"]
    assert upstream.requests[-1].body["messages"][2]["content"] == NO_RESULT
    assert [event["type"] for event in events] == ["token", "done"]


def test_a_cancelled_interrupt_does_not_answer_the_next_turn(
    host: Host, upstream: Upstream
) -> None:
    """The message after a cancelled breakpoint begins again, no answer to the old question."""
    graph = async_graph(upstream, checkpointer=InMemorySaver(), interrupt_before=["tools"])
    bench = host(LangGraphAgent(graph))
    run = bench.start(COLOUR_STEP, key=KEY)
    wait_for(lambda: run.questions.waiting, "the question")
    run.cancel("user")
    wait_for(lambda: not run.goes_on() and run.published.is_set(), "nothing of it goes on")
    assert [event["type"] for event in bench.talk(END_STEP, key=KEY)] == ["token", "done"]


def test_a_state_that_nodes_write_as_a_whole_is_not_resent(host: Host) -> None:
    """A node that gives back all messages adds to the turn what is new in them alone."""

    def node(state: dict[str, Any]) -> Reply:
        return {"messages": [*state["messages"], AIMessage(f"{len(state['messages'])}.")]}

    class Plain(MessagesState):
        """A state whose messages are not added but replaced."""

        messages: list[Any]

    bench = host(LangGraphAgent(one_node(node, Plain)))
    first = bench.talk((Text(("",)),), key=KEY)
    second = bench.talk((Text(("",)),), key=KEY)
    assert (first[-1]["reply"], second[-1]["reply"]) == ("1.", "3.")
