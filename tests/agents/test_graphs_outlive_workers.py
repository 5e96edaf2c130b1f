"""A graph with a checkpointer that workers share: its turns outlive them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from langgraph.checkpoint.postgres import PostgresSaver

from tests.agents import outliving
from tests.agents.outliving import follower_of
from tests.support.postgres import Postgres
from tests.support.reading import ReadingClient
from tests.support.resumed import (
    BOUNDARIES,
    REPLY,
    STALL,
    Rig,
    ended_well,
    kill_owner,
    message,
    resuming,
)
from tests.support.upstream_script import Text
from tests.support.waiting import wait_for

APP = "tests.support.resumed_frameworks_app:graphs_app()"
#: With a task for each call, with one for all of a step, and with tools in a graph of their own.
KINDS = ["graph", "one-tool-node", "subgraph"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkpoints are."""
    return tmp_path_factory.mktemp("resumed")


@pytest.fixture(scope="module")
def rig(folder: Path) -> Iterator[Rig]:
    """One host of two workers, whose lease no test waits for."""
    settings = {"AGENT_LEASE_SECONDS": "60", "MEMORY_FOLDER": str(folder)}
    with resuming(folder, app=APP, env=settings, frameworks=True) as running:
        yield running


def test_a_graph_goes_on(rig: Rig) -> None:
    """Killed before its end, a turn goes on from its thread's newest checkpoint."""
    outliving.goes_on_at(rig, "graph", "before the end")


@pytest.mark.slow
@pytest.mark.parametrize("graph", KINDS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_graph_goes_on_at_each_boundary(rig: Rig, graph: str, boundary: str) -> None:
    """Whenever the model is asked, a turn goes on, and no tool runs twice."""
    outliving.goes_on_at(rig, graph, boundary)


@pytest.mark.slow
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_sub_agent_goes_on_at_each_boundary(rig: Rig, boundary: str) -> None:
    """A node's graph that is shown as a sub-agent goes on as the same one, and says all once."""
    follower = follower_of(rig, "nested")
    number, held = BOUNDARIES[boundary]
    text = message(follower.session)
    rig.upstream.held[text, number] = held
    follower.start(text)
    wait_for(lambda: (text, number) not in rig.upstream.held, "the model is asked", 60)
    kill_owner(rig, follower)
    assert follower.end().data["reply"] == "All done."
    assert rig.names(follower.session) == ["a", "b"]
    told = [frame.data for frame in follower.counted()]
    (call,) = [one["call_id"] for one in told if one.get("tool") == "inner" and "input" in one]
    (result,) = [one for one in told if one.get("tool") == "inner" and "output" in one]
    assert result["call_id"] == call
    nested = [one for one in told if "parent" in one]
    assert {(one["parent"], one["agent"]) for one in nested} == {(call, "inner")}
    assert "".join(one.get("content", "") for one in nested) == REPLY
    kinds = [one["type"] for one in nested]
    assert (kinds.count("tool_call"), kinds.count("tool_result")) == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("graph", KINDS)
def test_a_call_in_flight_is_reported(rig: Rig, graph: str) -> None:
    """A tool whose worker died in it is not run again: the model hears that nobody knows."""
    outliving.is_told(rig, graph)


@pytest.mark.slow
@pytest.mark.parametrize("graph", KINDS)
def test_a_call_in_flight_is_tried_again(rig: Rig, graph: str) -> None:
    """A tool that may run again does so, with the same key and another attempt."""
    outliving.is_tried_again(rig, graph)


@pytest.mark.slow
@pytest.mark.parametrize("graph", KINDS)
def test_finished_calls_of_a_step_stay(rig: Rig, graph: str) -> None:
    """Of calls at the same time, one that had ended is not run again, one in flight is told."""
    outliving.finished_calls_stay(rig, graph)


@pytest.mark.slow
def test_the_user_decides_about_a_call(rig: Rig) -> None:
    """Of a tool that asks, a call in flight is a question; yes runs it again, with its key."""
    outliving.is_decided(rig, "graph")


@pytest.mark.slow
@pytest.mark.parametrize("graph", KINDS[:2])
def test_an_interrupt_outlives_its_worker(rig: Rig, graph: str) -> None:
    """What ``interrupt()`` asks stays asked, and its answer runs the tool once."""
    outliving.question_stays(rig, graph, "ask_graph")


@pytest.mark.slow
@pytest.mark.parametrize("graph", KINDS[:2])
def test_an_interrupt_that_takes_long_has_no_thread(rig: Rig, graph: str) -> None:
    """The turn rests, and its answer resumes the graph from its checkpoint."""
    outliving.question_rests(rig, graph, "ask_graph")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("graph", KINDS)
def test_kills_at_random_moments(rig: Rig, graph: str) -> None:
    """Whenever its worker is killed, a graph's turn has its exact text, and no effect twice."""
    outliving.random_kills(rig, graph)


@pytest.mark.slow
def test_a_graph_kept_elsewhere_is_not_begun_again(rig: Rig, folder: Path) -> None:
    """A worker whose checkpointer does not have the turn ends it as lost, and says why."""
    follower = follower_of(rig, "graph")
    follower.start(message(follower.session, "wait 30"))
    wait_for(lambda: rig.names(follower.session) == ["a"], "its tool runs", 60)
    with closing(sqlite3.connect(folder / "graph.db", timeout=30)) as database, database:
        database.execute("delete from checkpoints")
    kill_owner(rig, follower)
    end = follower.end()
    assert end.data["code"] == "worker_lost"
    assert "checkpointer" in end.data["details"]["hint"]
    assert rig.names(follower.session) == ["a"]


@pytest.mark.slow
def test_a_graph_outlives_its_host(database: Postgres, tmp_path: Path) -> None:
    """With its checkpoints in Postgres, another host goes on with a turn of one that is lost."""
    url = f"postgresql://{database.new_database()}"
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
    settings = {"AGENT_LEASE_SECONDS": "3", "DATABASE_URL": url}
    app = "tests.support.resumed_frameworks_app:postgres_app()"
    with resuming(tmp_path, app=app, hosts=2, env=settings, frameworks=True) as rig:
        follower = follower_of(rig, "graph")
        text = message(follower.session)
        rig.upstream.held[text, 1] = [Text(("And ", "no")), STALL]
        follower.start(text)
        wait_for(lambda: follower.kinds.count("token") >= 5, "its text is read", 60)
        follower.client = ReadingClient(rig.shared.hosts[1], prefix="/graph")
        rig.shared.hosts[0].kill()
        ended_well(follower, rig, ["a", "b"])
