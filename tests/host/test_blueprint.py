"""A host as a blueprint object, for sites that mount by lists and plugins, and beside guards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.support.agents import scripted
from tests.support.client import Client, chat_body, new_session
from tests.support.refusals import check_refusal
from tests.support.servers import gunicorn
from wsgi_app import AgentHost, is_agent_request
from wsgi_app.errors import ConfigError

PLACES = {
    "/one": "one",
    "/two": "two",
    "/plugin/agent": "plugin",
    "/outer/inner": "inner",
    "/late": "late",
}


@pytest.fixture(scope="module", params=["listed_site()", "twice_listed_site()"])
def listed(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a site that registers blueprints."""
    with gunicorn(f"tests.support.sites:{request.param}") as server:
        yield Client(server, prefix="")


@pytest.mark.parametrize(("prefix", "name"), PLACES.items())
def test_a_blueprint_serves_where_the_site_puts_it(listed: Client, prefix: str, name: str) -> None:
    """Its own prefix, the site's, or both in a row: each host is a whole one of its own there."""
    client = Client(listed.server, prefix=prefix)
    session = new_session()
    assert client.chat_json(session).json["reply"] == f"{name} hi False"
    assert client.call("GET", f"/session/{session}").json["turn_id"] == "1"
    check_refusal(client.call("GET", "/nothing"), 404, "not_found")
    check_refusal(client.call("PUT", "/chat/x"), 405, "method_not_allowed")
    for other in PLACES.keys() - {prefix}:
        assert Client(listed.server, prefix=other).call("GET", f"/session/{session}").status == 404
    assert listed.call("GET", "/page").body == b"False"


def test_what_a_site_adds_to_the_blueprint_runs(listed: Client) -> None:
    """The blueprint is a real one: functions that a site registers with it guard its routes."""
    client = Client(listed.server, prefix="/plugin/agent")
    assert client.call("GET", "/sessions", headers={"X-Stop": "1"}).status == 418
    assert Client(listed.server, prefix="/one").call("GET", "/sessions").status == 200


def test_a_blueprint_is_registered_once_in_an_app() -> None:
    """A second time raises ConfigError; so do prefixes that are no paths, whenever they come."""
    app, host = Flask("site"), AgentHost(scripted)
    blueprint = host.blueprint()
    app.register_blueprint(blueprint, url_prefix="/a")
    with pytest.raises(ConfigError, match="another host"):
        app.register_blueprint(blueprint, url_prefix="/a")
    with pytest.raises(ConfigError, match="url_prefix"):
        host.blueprint("agents")
    with pytest.raises(ConfigError, match="url_prefix"):
        app.register_blueprint(host.blueprint(), url_prefix="/<org>")


def test_no_request_is_none_of_the_hosts() -> None:
    """`is_agent_request()` is false outside of requests, and in sites without a host."""
    assert not is_agent_request()
    with Flask("site").test_request_context("/"):
        assert not is_agent_request()


def test_a_guard_that_redirects_is_named() -> None:
    """The log and `/readyz` name the site's function that answers in the host's place, once."""
    with gunicorn("tests.support.sites:guarded_site('rude')") as server:
        client = Client(server, token=None)
        for _ in range(3):
            answer = client.call("POST", "/chat/x", chat_body())
            assert (answer.status, answer.headers["Location"]) == (302, "/login")
        told = "tests.support.sites.guarded_site.<locals>._log_in_first must let requests pass"
        assert server.log().count(told) == 1
        ready = client.call("GET", "/readyz", headers={"X-User": "anna"})
        assert told in " ".join(ready.json["warnings"])


def test_a_guard_can_let_the_host_be() -> None:
    """With `is_agent_request()` the host's own refusals reach its clients, and nothing is told."""
    with gunicorn("tests.support.sites:guarded_site('polite')") as server:
        client = Client(server, token=None)
        check_refusal(client.call("POST", "/chat/x", chat_body()), 401, "unauthorized")
        assert client.call("GET", "/healthz").status == 200
        assert Client(server, token=None, prefix="").call("GET", "/page").status == 302
        assert "is_agent_request" not in server.log()
