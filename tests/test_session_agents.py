"""Agents with close() in one process: kept with their session, closed with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.reading import ReadingClient, observed, wait_observed
from tests.support.servers import gunicorn

APP = "tests.support.session_agents:session_agents_app()"


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
