"""Hosts that share a Redis and nothing in it, unless they are one host."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.support.agents import scripted
from tests.support.client import new_session
from tests.support.metrics import Samples, samples_of
from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn
from tests.support.service import Service, owner_pid, service
from tests.support.waiting import wait_for
from wsgi_app import AgentHost
from wsgi_app.errors import ConfigError
from wsgi_app.store.base import StoreLimits
from wsgi_app.store.redis import RedisStore

PRIVATE = "what the first host alone may know"
LONG_LEASE_SECONDS = "60"


@pytest.fixture(scope="module")
def site() -> Iterator[Service]:
    """One app with a host at /one and another at /two, on two workers and one Redis."""
    env = {"AGENT_LEASE_SECONDS": LONG_LEASE_SECONDS}
    with service("tests.support.apps:two_hosts()", hosts=1, env=env, prefix="/one") as running:
        yield running


def other_host(site: Service) -> ReadingClient:
    """The same tenant at the other host."""
    return ReadingClient(site.proxy, prefix="/two")


def test_another_host_knows_nothing_of_a_session(site: Service) -> None:
    """What one host keeps for a tenant is unknown to the other: read, list, cancel, answer."""
    session = new_session()
    other = other_host(site)
    with site.client.chat(session, {"text": PRIVATE}, {"ask": PRIVATE}) as stream:
        request_id = stream.until("input_request")[-1].data["request_id"]
        path = f"/chat/{session}"
        assert other.call("GET", f"/session/{session}").status == 404
        assert other.call("GET", f"{path}/poll").status == 404
        assert other.call("GET", f"{path}/events").status == 204
        assert other.call("GET", "/sessions").json["sessions"] == []
        assert other.cancel(session)["cancelled"] is False
        answer = {"request_id": request_id, "value": "yes"}
        assert other.call("POST", f"{path}/input", answer).status == 409
        assert other.call("DELETE", f"/session/{session}").json["deleted"] is False
        ticket = site.client.call("POST", f"{path}/ticket").json["ticket"]
        bare = ReadingClient(site.proxy, token=None, prefix="/two")
        assert bare.call("GET", f"{path}/events?ticket={ticket}").status == 401
        assert site.client.session(session)["state"] == "running"
        assert site.client.cancel(session)["cancelled"] is True


def test_a_session_of_the_same_name_is_the_hosts_own(site: Service) -> None:
    """Both hosts run turns of one tenant and one session id at the same time, each its own."""
    session = new_session()
    other = other_host(site)
    with site.client.chat(session, {"hold": True}), other.chat(session, {"hold": True}):
        assert site.client.cancel(session)["turn_id"] == "1"
        assert other.session(session)["state"] == "running"
        assert other.cancel(session)["turn_id"] == "1"


def test_workers_of_one_host_share_its_sessions(site: Service) -> None:
    """Each worker answers for a session of its own host, whichever began it."""
    session = new_session()
    site.client.chat_json(session, {"text": PRIVATE})
    for _ in range(20):  # every request is a connection of its own, to any worker
        assert site.client.session(session)["state"] == "idle"


def test_a_dead_workers_turns_are_ended_in_their_namespace(site: Service) -> None:
    """The hook of gunicorn finds the turns of each host of a worker that was killed."""
    session = new_session()
    with site.client.chat(session, {"hold": True}) as stream:
        stream.wait_comments(1)
        os.kill(owner_pid(site.client, session), signal.SIGKILL)
        began_at = time.monotonic()
        wait_for(lambda: site.client.session(session)["state"] == "idle", "the end", 20)
    assert time.monotonic() - began_at < float(LONG_LEASE_SECONDS) / 2


def test_names_in_the_store_begin_with_the_app_and_the_prefix(site: Service) -> None:
    """By default a host's keys are named for its app and prefix, so that they outlive a deploy."""
    site.client.chat_json(new_session(), {"text": "hello"})
    other_host(site).chat_json(new_session(), {"text": "hello"})
    with site.store.client() as store:
        starts = {name.decode().split(":")[0] for name in store.scan_iter("*")}
    assert starts == {"agent@site/one", "agent@site/two"}


def test_a_host_lists_its_own_workers(site: Service) -> None:
    """The list of workers, which the operator's page shows, is that of one host."""
    limits = StoreLimits(lease_seconds=float(LONG_LEASE_SECONDS))
    stores = [RedisStore(site.store.url, limits, namespace=f"site/{one}") for one in ("one", "two")]

    def names() -> list[set[str]]:
        found = [{view.worker_id for view in store.workers()} for store in stores]
        return found if [len(workers) for workers in found] == [2, 2] else []

    one, two = wait_for(names, "two workers of each host", 30)
    assert not one & two
    for store in stores:
        store.close()


def page_of(client: ReadingClient) -> str:
    """What a host's operator reads at its GET /metrics."""
    answer = client.call("GET", "/metrics")
    assert answer.status == 200
    return answer.body.decode()


def check_counts_apart(client: ReadingClient, other: ReadingClient) -> None:
    """Have ``client``'s host do what is counted in several places; ``other`` is of another host."""
    other.chat_json(new_session())  # all workers' counts are there
    before = samples_of(page_of(other)), samples_of(page_of(client))
    session = new_session()
    with client.chat(session, {"text": PRIVATE}, {"hold": True}) as stream:
        stream.until("token")
        assert client.chat_json(session).status == 409
        names = ("turns_running", "streams", 'refused_total{code="session_busy"}')
        here = wait_for_samples(client, {name: before[1].get(name, 0) + 1 for name in names})
        there = samples_of(page_of(other))
        assert [there.get(name, 0) for name in names] == [before[0].get(name, 0) for name in names]
        assert there["workers"] == here["workers"], "the workers are those of both"
        client.cancel(session)
    name = 'turns_total{outcome="cancelled",reason="user"}'
    wait_for_samples(client, {name: before[1].get(name, 0) + 1})
    after = samples_of(page_of(other))
    changed = {name for name in after if after[name] != before[0].get(name)}
    assert changed <= {name for name in after if name.startswith(("store_", "journal_"))}, changed


def wait_for_samples(client: ReadingClient, expected: Samples) -> Samples:
    """The page of a host once these samples are as expected."""

    def found() -> Samples:
        page = samples_of(page_of(client))
        return page if {name: page.get(name, 0) for name in expected} == expected else {}

    return wait_for(found, f"samples {expected}", 20)


def test_a_host_counts_for_itself(site: Service) -> None:
    """GET /metrics shows what one host of an app has done, on all workers, and no other's work."""
    check_counts_apart(site.client, other_host(site))
    for client, own in ((site.client, "site/one"), (other_host(site), "site/two")):
        assert set(re.findall(r'host="([^"]*)"', page_of(client))) == {own}


def test_hosts_of_one_process_count_for_themselves() -> None:
    """The same where one process keeps all counts in its memory."""
    env = {"AGENT_TOKENS": "dev=demo-tenant scopes=chat+read+cancel+admin"}
    with gunicorn("tests.support.apps:two_hosts()", env=env) as server:
        check_counts_apart(*(ReadingClient(server, prefix=prefix) for prefix in ("/one", "/two")))


def namespace_of(app: Flask, prefix: str, **settings: Any) -> str | None:
    """The namespace that a host gets in an app."""
    AgentHost(scripted, **settings).init_app(app, url_prefix=prefix)
    found: str | None = app.extensions["wsgi_app"][f"wsgi_app{prefix}"].settings.namespace
    return found


def test_a_setting_names_the_namespace() -> None:
    """AGENT_NAMESPACE beats the default; ``-`` is the namespace of versions that had none."""
    app = Flask("shop.site")
    assert namespace_of(app, "/a b") == "shop.site/a%20b"
    assert namespace_of(app, "/named", namespace="staff") == "staff"
    assert namespace_of(app, "/old", namespace="-") == ""
    app.config["AGENT_NAMESPACE"] = "configured"
    assert namespace_of(app, "/configured") == "configured"


@pytest.mark.parametrize("name", ["a*", "a:b", "a{b}", "a b", "x" * 129])
def test_a_bad_namespace_stops_the_start(name: str) -> None:
    """A name that Redis's patterns or hash tags would read in their own way is refused."""
    with pytest.raises(ConfigError, match="AGENT_NAMESPACE"):
        namespace_of(Flask("site"), "/agents", namespace=name)


def test_one_setting_does_not_make_two_hosts_one() -> None:
    """The app's setting may not name two hosts alike; code that names each may."""
    app = Flask("site")
    app.config["AGENT_NAMESPACE"] = "shared"
    assert namespace_of(app, "/one") == "shared"
    with pytest.raises(ConfigError, match="share all sessions"):
        namespace_of(app, "/two")
    assert namespace_of(app, "/two", namespace="shared") == "shared"
