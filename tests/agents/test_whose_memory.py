"""What a graph remembers in a database is its user's: kept until the session is deleted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from langgraph.checkpoint.postgres import PostgresSaver

from tests.agents.bench import AgentBench, Host
from tests.support.graphs import async_graph
from tests.support.postgres import Postgres
from tests.support.savers import postgres_saver
from tests.support.upstream import Upstream
from tests.support.upstream_refusals import messages_of
from tests.support.upstream_script import Stall, Text
from tests.support.waiting import wait_for
from wsgi_app import AgentHost, Turn
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.errors import MemoryUnavailable
from wsgi_app.store.base import SessionKey

pytestmark = pytest.mark.usefixtures("database")

KEY = SessionKey("tenant", "s")
END_STEP = (Text(("Done.",)),)
#: Which tables a saver keeps what users said in.
TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


@pytest.fixture
def saver(database: Postgres) -> Iterator[PostgresSaver]:
    """A saver with an empty database."""
    with postgres_saver(database) as made:
        yield made


@pytest.fixture
def bench(host: Host, upstream: Upstream, saver: PostgresSaver) -> AgentBench:
    """A host whose graph remembers in Postgres."""
    return host(LangGraphAgent(async_graph(upstream, checkpointer=saver)))


def rows_of(saver: PostgresSaver) -> int:
    """How many rows the saver's tables hold."""
    with saver._cursor() as cursor:  # noqa: SLF001 - the tests' look at its tables
        counts = [cursor.execute(f"select count(*) n from {table}").fetchone() for table in TABLES]  # noqa: S608 - the names are ours
    return sum(count["n"] for count in counts if count is not None)


def roles_of(upstream: Upstream) -> list[str]:
    """Whose messages the provider's last request held."""
    return [message["role"] for message in messages_of(upstream.requests[-1].body)]


def test_memory_outlives_the_host(
    bench: AgentBench, host: Host, upstream: Upstream, saver: PostgresSaver
) -> None:
    """A host that has lost its sessions, as by a restart without Redis, goes on with the thread."""
    bench.talk(END_STEP, key=KEY)
    restarted = host(LangGraphAgent(async_graph(upstream, checkpointer=saver)))
    restarted.talk(END_STEP, key=KEY)
    assert roles_of(upstream) == ["user", "assistant", "user"]


def test_memory_goes_with_the_session(bench: AgentBench, saver: PostgresSaver) -> None:
    """A deletion leaves no row, also of a session that the host has lost."""
    bench.talk(END_STEP, key=KEY)
    assert rows_of(saver) > 0
    assert bench.turns.runner.delete_session(KEY)
    assert rows_of(saver) == 0
    bench.talk(END_STEP, key=KEY)
    bench.turns.store.delete_session(KEY)
    assert not bench.turns.runner.delete_session(KEY)
    assert rows_of(saver) == 0


def test_a_turn_that_runs_on_leaves_nothing_of_a_deleted_session(
    host: Host, upstream: Upstream, saver: PostgresSaver
) -> None:
    """What code writes that goes on after its session's deletion is taken away at its end."""
    graph = LangGraphAgent(async_graph(upstream, checkpointer=saver))
    gate = threading.Event()

    class Late:
        """Writes to the thread only when its turn has ended."""

        forget_session = graph.forget_session

        def __call__(self, turn: Turn) -> str:
            gate.wait(30)
            config: Any = {"configurable": {"thread_id": turn.session.thread_id}}
            async_graph(upstream, checkpointer=saver).update_state(
                config, {"messages": ["late"]}, as_node="model"
            )
            return ""

    bench = host(Late())
    run = bench.start(END_STEP, key=KEY)
    assert bench.turns.runner.delete_session(KEY)
    gate.set()
    wait_for(lambda: not run.goes_on(), "its code has ended")
    assert rows_of(saver) == 0


def test_a_thread_that_runs_on_leaves_nothing_of_a_deleted_session(
    host: Host, upstream: Upstream, saver: PostgresSaver
) -> None:
    """What a stopped agent does not wait for, as a graph its last writes, is taken away too."""
    graph = LangGraphAgent(async_graph(upstream, checkpointer=saver))
    begun, gate = threading.Event(), threading.Event()

    class Late:
        """Writes to the thread only when its code has ended, but for this."""

        forget_session = graph.forget_session

        def __call__(self, turn: Turn) -> str:
            config: Any = {"configurable": {"thread_id": turn.session.thread_id}}

            def write() -> None:
                begun.set()
                gate.wait(30)
                async_graph(upstream, checkpointer=saver).update_state(
                    config, {"messages": ["late"]}, as_node="model"
                )

            written: None = turn.start_thread(write).result()
            return str(written)

    bench = host(Late())
    run = bench.start(END_STEP, key=KEY)
    assert begun.wait(30)
    assert bench.turns.runner.delete_session(KEY)
    wait_for(lambda: run.thread is not None and not run.thread.is_alive(), "its code has ended")
    assert run.goes_on()
    gate.set()
    wait_for(lambda: not run.goes_on(), "its thread has ended")
    assert rows_of(saver) == 0


def test_hosts_on_one_database_are_apart(
    host: Host, upstream: Upstream, saver: PostgresSaver
) -> None:
    """Two mounts of an app have a thread each for sessions of one name."""
    agent = LangGraphAgent(async_graph(upstream, checkpointer=saver))
    one, other = (host(agent, namespace=name) for name in ("app/one", "app/other"))
    one.talk(END_STEP, key=KEY)
    other.talk(END_STEP, key=KEY)
    assert roles_of(upstream) == ["user"]
    other.turns.runner.delete_session(KEY)
    one.talk(END_STEP, key=KEY)
    assert roles_of(upstream) == ["user", "assistant", "user"]


def test_passing_sessions_leave_nothing(bench: AgentBench, saver: PostgresSaver) -> None:
    """A turn whose client keeps the conversation writes no row, and gets that conversation."""
    said = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    bench.talk(END_STEP, key=KEY, history=said, ephemeral=True)
    assert rows_of(saver) == 0
    assert roles_of(bench.upstream) == ["user", "assistant", "user"]


PASSING: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "responses": ("responses", {"input": "hi", "store": False}),
}


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k-1"}], ids=["once", "repeatable"])
@pytest.mark.parametrize("wire", PASSING)
def test_wires_whose_clients_keep_the_conversation_leave_nothing(
    upstream: Upstream, saver: PostgresSaver, wire: str, key: dict[str, str]
) -> None:
    """OpenAI's wires write no row, also where a key has the host keep the session for a while."""
    path, body = PASSING[wire]
    app = Flask("site")
    agent = LangGraphAgent(async_graph(upstream, checkpointer=saver))
    AgentHost(agent).init_app(app, url_prefix="/agents")
    headers = {"Authorization": "Bearer dev", **key}
    answer = app.test_client().post(
        f"/agents/v1/{path}", json={"model": "m", **body}, headers=headers
    )
    assert answer.status_code == 200, answer.data
    assert b"Hello from upstream" in answer.data
    assert rows_of(saver) == 0


def test_a_deletion_that_fails_is_reported_and_repeated(
    bench: AgentBench, saver: PostgresSaver, caplog: pytest.LogCaptureFixture
) -> None:
    """While the database refuses, the session stays, for the deletion that works."""
    bench.talk(END_STEP, key=KEY)
    with saver._cursor() as cursor:  # noqa: SLF001 - the tests' look at its tables
        cursor.execute("alter table checkpoint_blobs rename to away")
    with pytest.raises(MemoryUnavailable):
        bench.turns.runner.delete_session(KEY)
    assert "cannot be forgotten" in caplog.text
    assert bench.turns.store.history(KEY) is not None
    with saver._cursor() as cursor:  # noqa: SLF001 - the same
        cursor.execute("alter table away rename to checkpoint_blobs")
    assert bench.turns.runner.delete_session(KEY)
    assert rows_of(saver) == 0


def test_a_database_error_is_logged_as_it_is(
    bench: AgentBench, saver: PostgresSaver, caplog: pytest.LogCaptureFixture
) -> None:
    """No NotImplementedError of how a sync saver is called stands above its own error."""
    with saver._cursor() as cursor:  # noqa: SLF001 - the tests' look at its tables
        cursor.execute("drop table checkpoints cascade")
    assert bench.talk(END_STEP, key=KEY)[-1]["code"] == "agent_error"
    assert "UndefinedTable" in caplog.text
    assert "NotImplementedError" not in caplog.text


def test_thread_ids_are_of_plain_characters_and_apart() -> None:
    """No saver reads more into an id than a name, and no two sessions share one."""
    names = [
        SessionName(*parts)
        for parts in [
            ("a", "b", "c"),
            ("a", "b/c", ""),
            ("a/b", "c", ""),
            ("", "acme, inc:1*{x}", "S"),
            ("", "acme, inc:1*{x}", "s"),
            ("", "ü\udc80", "s"),
        ]
    ]
    ids = [name.thread_id for name in names]
    assert len(set(ids)) == len(names)
    assert all(one.isascii() and one.isalnum() and one == one.lower() for one in ids)
    assert all(len(one) < 100 for one in ids)


def test_a_site_names_threads_itself(host: Host, upstream: Upstream, saver: PostgresSaver) -> None:
    """``thread_id`` keeps the names of before, for turns and for deletions."""

    def thread_id(session: SessionName) -> str:
        return f"{session.tenant}/{session.session_id}"

    graph = async_graph(upstream, checkpointer=saver)
    bench = host(LangGraphAgent(graph, thread_id=thread_id))
    bench.talk(END_STEP, key=KEY)
    assert saver.get_tuple({"configurable": {"thread_id": "tenant/s"}}) is not None
    bench.turns.runner.delete_session(KEY)
    assert rows_of(saver) == 0


def test_a_stop_while_the_provider_is_silent_and_a_deletion_leave_nothing(
    bench: AgentBench, upstream: Upstream, saver: PostgresSaver
) -> None:
    """A deletion in mid-turn ends the turn, and nothing that it writes then stays."""
    run = bench.start((Stall(),), key=KEY)
    upstream.wait_request()
    assert bench.turns.runner.delete_session(KEY)
    wait_for(lambda: not run.goes_on(), "its code has ended")
    assert rows_of(saver) == 0
