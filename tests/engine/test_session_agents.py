"""Agents with close() in one process: kept with their session, closed with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.reading import ReadingClient, observed, wait_observed
from tests.support.servers import gunicorn
from tests.support.waiting import wait_for
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.worker.session_agents import SessionAgents
from wsgi_app.errors import TurnCancelled
from wsgi_app.store.base import SessionKey

APP = "tests.support.session_agents:session_agents_app()"

KEY = SessionKey("tenant", "session")
RACE_SECONDS = 1.0
WAIT_SECONDS = 30.0


@pytest.fixture
def client() -> Iterator[ReadingClient]:
    """A host that forgets unused agents soon."""
    env = {"AGENT_IDLE_SECONDS": "1", "AGENT_LEASE_SECONDS": "1"}
    with gunicorn(APP, env=env) as server:
        yield ReadingClient(server)


def test_agent_is_kept_for_its_session_alone(client: ReadingClient) -> None:
    """Turns of a session share an object, sessions do not."""
    assert [client.chat_json("one").json["reply"] for _ in range(3)] == ["1", "2", "3"]
    assert client.chat_json("two").json["reply"] == "1"


def test_agent_is_closed_with_its_session(client: ReadingClient) -> None:
    """DELETE closes the session's agent; the next turn gets a new one."""
    client.chat_json("deleted")
    client.call("DELETE", "/session/deleted")
    wait_observed(client.server, "closed_agent", "deleted")
    assert client.chat_json("deleted").json["reply"] == "1"


def test_unused_agent_is_closed(client: ReadingClient) -> None:
    """After the idle time the agent is closed, the session stays."""
    client.chat_json("idle")
    wait_observed(client.server, "closed_agent", "idle")
    assert len(client.session("idle")["messages"]) == 2
    assert client.chat_json("idle").json["reply"] == "1"


def test_used_agent_is_not_closed() -> None:
    """Without idle time over, nothing is closed."""
    with gunicorn(APP) as server:
        client = ReadingClient(server)
        client.chat_json("used")
        client.chat_json("used")
        assert not observed(server, "closed_agent", "used")


def test_one_agent_may_open_a_session_for_each_conversation() -> None:
    """An agent with open_session is made once; what it opens belongs to a session each."""
    with gunicorn("tests.support.session_agents:office_app()") as server:
        client = ReadingClient(server)
        assert [client.chat_json("one").json["reply"] for _ in range(2)] == ["1", "2"]
        assert client.chat_json("two").json["reply"] == "1"
        assert len(observed(server, "opened_office", "all")) == 1
        client.call("DELETE", "/session/one")
        wait_observed(server, "closed_agent", "one")


def test_an_agent_is_never_closed_for_idleness_while_a_turn_has_it() -> None:
    """However close together its idle time ends and its session's next turn begins."""
    closed_in_use: list[object] = []

    class Agent:
        in_use = False

        def close(self) -> None:
            if self.in_use:
                closed_in_use.append(self)

    agents = SessionAgents(Agent, 0, LoopThread("agents"))
    ends_at = time.monotonic() + RACE_SECONDS

    def take_turns(key: SessionKey) -> None:
        while time.monotonic() < ends_at:
            agent = agents.take(key)
            agent.in_use = True
            threading.Event().wait(0.0001)
            agent.in_use = False
            agents.give_back(key, agent)

    keys = [SessionKey("tenant", str(number)) for number in range(4)]
    threads = [threading.Thread(target=take_turns, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    while time.monotonic() < ends_at:
        agents.close_idle()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert not closed_in_use


def test_an_agent_that_is_made_too_late_is_closed() -> None:
    """An agent that was still being made when its session's next turn came leaves that one's be."""
    made, closed = [], []
    gate = threading.Event()
    raised: list[BaseException] = []

    class Agent:
        def __init__(self) -> None:
            made.append(self)
            if len(made) == 1:
                gate.wait(WAIT_SECONDS)

        def close(self) -> None:
            closed.append(self)

    agents = SessionAgents(Agent, WAIT_SECONDS, LoopThread("agents"))

    def be_late() -> None:
        try:
            agents.take(KEY)
        except TurnCancelled as error:
            raised.append(error)

    late = threading.Thread(target=be_late)
    late.start()
    wait_for(lambda: made, "the first agent is being made")
    newer = agents.take(KEY)
    gate.set()
    late.join(WAIT_SECONDS)
    assert len(raised) == 1
    wait_for(lambda: closed, "the late agent is closed")
    assert closed == [made[0]]
    agents.give_back(KEY, newer)
    assert agents.take(KEY) is newer
