"""A session with a real browser on two workers: its turns come to both in turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tests.agents_real.pages import pages
from tests.support.client import Client
from tests.support.processes import child_pids
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from wsgi_app.engine.worker.affinity import BEGAN_AGAIN

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]

APP = "tests.agents_real.mcp_app:mcp_app()"
TURNS = 10
TURN_SECONDS = 120


class Seen(NamedTuple):
    """What a turn has shown: how many thoughts the server knows, the page, the statuses."""

    thoughts: int
    page: str
    statuses: list[str]


class Session:
    """One session, whose turns go to two hosts in turn. Used by the test's thread alone."""

    def __init__(self, hosts: list[Gunicorn], site: str) -> None:
        self.hosts = hosts
        self._site = site
        self._count = 0

    def turn(self, *, opens: bool = False) -> Seen:
        """Think once more and look at the page, which the turn may open first."""
        self._count += 1
        thought = {"thought": "x", "nextThoughtNeeded": True, "totalThoughts": 10}
        thought["thoughtNumber"] = self._count
        calls = [
            Call("c1", "sequentialthinking", json.dumps(thought)),
            Call("c3", "browser_snapshot", "{}"),
        ]
        if opens:
            url = json.dumps({"url": f"{self._site}/one.html"})
            calls.insert(1, Call("c2", "browser_navigate", url))
        steps = [(ToolCalls((call,)),) for call in calls]
        message = scripted_message(*steps, (Text(("Seen.",)),), tag=f"turn-{self._count}")
        client = Client(self.hosts[self._count % len(self.hosts)])
        stream = client.stream("POST", "/chat/s-1", {"message": message}, seconds=TURN_SECONDS)
        events = [frame.data for frame in stream]
        stream.close()
        assert events[-1]["type"] == "done", events
        outputs: dict[str, Any] = {
            event["tool"]: event["output"] for event in events if event["type"] == "tool_result"
        }
        statuses = [event["content"] for event in events if event["type"] == "status"]
        thoughts = outputs["sequentialthinking"]["thoughtHistoryLength"]
        return Seen(thoughts, str(outputs["browser_snapshot"]), statuses)


@pytest.fixture
def session() -> Iterator[Session]:
    """Two hosts of one worker each, and one session."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        env = {"AGENT_REDIS_URL": stack.enter_context(redis_server()).url}
        env |= {"AGENT_LEASE_SECONDS": "2", "AGENT_RATE_LIMIT": "1000/minute"}
        env |= upstream.environment
        site = stack.enter_context(pages())
        hosts = [stack.enter_context(gunicorn(APP, env=env)) for _ in range(2)]
        yield Session(hosts, site)


def test_ten_turns_see_one_page(session: Session) -> None:
    """The page that the first turn has opened, and a count of thoughts from one to ten."""
    seen = [session.turn(opens=number == 0) for number in range(TURNS)]
    assert [one.thoughts for one in seen] == list(range(1, TURNS + 1))
    assert all("one.html" in one.page for one in seen), seen
    assert [one.statuses for one in seen] == [[]] * TURNS


def test_a_killed_owner_costs_a_status(session: Session) -> None:
    """At turn five its worker is killed: the next says its tools began again; the rest is right."""
    seen = [session.turn(opens=number == 0) for number in range(5)]
    (owner,) = [host for host in session.hosts if child_pids(host.worker_pids()[0])]
    session.hosts.remove(owner)
    owner.kill()
    seen += [session.turn(opens=number == 0) for number in range(5)]
    assert [one.thoughts for one in seen] == [*range(1, 6), *range(1, 6)]
    assert all("one.html" in one.page for one in seen), seen
    assert [one.statuses for one in seen] == [*[[]] * 5, [BEGAN_AGAIN], *[[]] * 4]
