"""Agents with state in a worker: a session's turns go where its agent is."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.client import WANTS_JSON, Client, new_session
from tests.support.mcp_rig import started_in
from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from wsgi_app.engine.worker.affinity import BEGAN_AGAIN

APP = "tests.support.session_agents:session_agents_app()"
TURNS = 10


class Pair(NamedTuple):
    """Two hosts with one Redis."""

    hosts: tuple[Gunicorn, Gunicorn]
    clients: tuple[ReadingClient, ReadingClient]


DEAF_APP = "tests.support.session_agents:deaf_app()"
LOST_OFFERS_APP = "tests.support.session_agents:lost_offers_app()"


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two hosts of one worker each, whose agents count their turns."""
    with ExitStack() as stack:
        env = {"AGENT_REDIS_URL": stack.enter_context(redis_server()).url}
        env |= {"AGENT_LEASE_SECONDS": "2", **getattr(request, "param", {})}
        first, second = [stack.enter_context(gunicorn(env.get("APP", APP), env=env)) for _ in "12"]
        yield Pair((first, second), (ReadingClient(first), ReadingClient(second)))


def count(client: ReadingClient, session: str) -> str:
    """How many turns the agent has had that answers this one."""
    reply: str = client.chat_json(session).json["reply"]
    return reply


def test_turns_go_to_their_sessions_agent(pair: Pair) -> None:
    """Ten turns that come to two workers in turn are counted by one agent."""
    session = new_session()
    replies = [count(pair.clients[number % 2], session) for number in range(TURNS)]
    assert replies == [str(number + 1) for number in range(TURNS)]
    assert count(pair.clients[1], new_session()) == "1"


def test_a_stream_of_another_workers_turn_is_whole(pair: Pair) -> None:
    """A reader gets the events of a turn that was handed over, and their ids, as at home."""
    session = new_session()
    count(pair.clients[0], session)
    with pair.clients[1].chat(session) as stream:
        frames = list(stream)
    assert [frame.data["type"] for frame in frames] == ["token", "done"]
    assert [frame.id for frame in frames] == ["2-1", "2-2"]
    assert frames[0].data["content"] == "2"


@pytest.mark.parametrize("pair", [{"AGENT_AFFINITY": "any"}], indirect=True)
def test_affinity_can_be_switched_off(pair: Pair) -> None:
    """With AGENT_AFFINITY=any a turn runs where it comes to, on an agent of that worker's."""
    session = new_session()
    assert [count(pair.clients[number % 2], session) for number in range(3)] == ["1", "1", "1"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_lost_owner_is_reported(pair: Pair, how: signal.Signals) -> None:
    """Where the owner is gone the turn runs here, its user is told, and the next is at home."""
    session = new_session()
    assert [count(pair.clients[0], session) for _ in range(2)] == ["1", "2"]
    if how == signal.SIGKILL:
        pair.hosts[0].kill()
    else:
        pair.hosts[0].stop()
    with pair.clients[1].chat(session) as stream:
        events = [frame.data for frame in stream]
    assert [event["type"] for event in events] == ["status", "token", "done"]
    assert events[0]["content"] == BEGAN_AGAIN
    assert events[1]["content"] == "1"
    assert count(pair.clients[1], session) == "2"


def test_an_owner_that_does_not_answer_is_not_waited_for(pair: Pair) -> None:
    """A stopped owner has a quarter of a second; what it would take later is gone."""
    session = new_session()
    count(pair.clients[0], session)
    owner = pair.hosts[0].worker_pids()[0]
    os.kill(owner, signal.SIGSTOP)
    try:
        with pair.clients[1].chat(session) as stream:
            events = [frame.data for frame in stream]
    finally:
        os.kill(owner, signal.SIGCONT)
    assert [event["type"] for event in events] == ["status", "token", "done"]
    wait_observed(pair.hosts[0], "closed_agent", session)
    assert count(pair.clients[0], session) == "2"  # at the second worker, which has it now


@pytest.mark.parametrize("pair", [{"APP": LOST_OFFERS_APP}], indirect=True)
def test_a_turn_whose_offer_is_lost_runs_where_it_came(pair: Pair) -> None:
    """The store takes no offer in that instant: the turn is not lost, and its user is told."""
    session = new_session()
    count(pair.clients[0], session)
    with pair.clients[1].chat(session) as stream:
        events = [frame.data for frame in stream]
    assert [event["type"] for event in events] == ["status", "token", "done"]
    assert events[0]["content"] == BEGAN_AGAIN


@pytest.mark.slow
@pytest.mark.parametrize("pair", [{"APP": DEAF_APP}], indirect=True)
def test_an_owner_that_was_asleep_does_not_use_its_old_agent(pair: Pair) -> None:
    """A worker that has not heard yet that a session moved sees it as it begins its next turn."""
    session = new_session()
    assert [count(pair.clients[0], session) for _ in range(2)] == ["1", "2"]
    owner = pair.hosts[0].worker_pids()[0]
    os.kill(owner, signal.SIGSTOP)
    try:
        assert count(pair.clients[1], session) == "1"
    finally:
        os.kill(owner, signal.SIGCONT)
    with pair.clients[0].chat(session) as stream:
        events = [frame.data for frame in stream]
    assert [event["type"] for event in events] == ["status", "token", "done"]
    assert events[1]["content"] == "1"


@pytest.mark.slow
def test_a_session_has_one_mcp_server_on_two_workers(tmp_path: Path) -> None:
    """Ten turns that come to two workers call tools of one program."""
    add = (ToolCalls((Call("c1", "add", '{"a": 2, "b": 3}'),)),)
    body = {"message": scripted_message(add, (Text(("Five.",)),))}
    notes, app = tmp_path / "notes", "tests.support.mcp_app:mcp_app()"
    with ExitStack() as stack:
        env = {**stack.enter_context(Upstream()).environment, "NOTES": str(notes)}
        env["AGENT_REDIS_URL"] = stack.enter_context(redis_server()).url
        clients = [Client(stack.enter_context(gunicorn(app, env=env))) for _ in range(2)]
        for number in range(TURNS):
            client = clients[number % 2]
            answer = client.call("POST", "/chat/one", body, headers=WANTS_JSON, seconds=60)
            assert answer.json["reply"] == "Five."
        assert len(started_in(notes)) == 1
