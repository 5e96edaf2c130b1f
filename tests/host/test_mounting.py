"""Hosts inside a site: their settings, the site's login, its extensions and its own errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.cli import routes_command

from tests.support.agents import SECRET, scripted
from tests.support.client import JSON, WANTS_JSON, Client, chat_body, new_session
from tests.support.frames import run_turn, types_of
from tests.support.python import run_python
from tests.support.refusals import check_refusal
from tests.support.servers import gunicorn
from tests.support.shared_servers import SharedServers
from wsgi_app import AgentHost

EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def login(servers: SharedServers) -> Client:
    """A client of a site whose own login decides."""
    return Client(servers.get("tests.support.sites:login_site()"), token=None)


@pytest.fixture(scope="module")
def opinionated() -> Iterator[Client]:
    """A client of a site that handles every error itself."""
    with gunicorn("tests.support.sites:opinionated_site()") as server:
        yield Client(server, token=None)


def test_hosts_in_one_app_have_their_own_settings_and_sessions() -> None:
    """Arguments beat the app's config, which beats the environment; sessions are not shared."""
    env = {"AGENT_MAX_MESSAGE_CHARS": "20", "AGENT_MAX_BODY_BYTES": "1000"}
    with gunicorn("tests.support.sites:settings_site()", env=env) as server:
        session = new_session()
        for prefix, limit in (("/argument", 5), ("/config", 10)):
            client = Client(server, prefix=prefix)
            body = {"message": limit * "x"}
            answer = client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON)
            assert (answer.json["reply"], answer.json["turn_id"]) == (limit * "x", "1")
            longer = client.call("POST", f"/chat/{session}", {"message": (limit + 1) * "x"})
            check_refusal(longer, 422, "invalid_request")
            large = client.call("POST", "/chat", body=1001 * b" ", headers=JSON)
            check_refusal(large, 413, "too_large")


@pytest.mark.parametrize(
    ("place", "name", "value", "told"),
    [
        ("config", "AGENT_MAX_TRUNS", "5", "AGENT_MAX_TRUNS"),
        ("argument", "max_truns", "5", "max_truns"),
        ("config", "AGENT_MAX_TURNS", "many", "AGENT_MAX_TURNS"),
        ("argument", "keepalive_seconds", "0", "AGENT_KEEPALIVE_SECONDS"),
        ("environment", "AGENT_ORPHAN_SECONDS", "-1", "AGENT_ORPHAN_SECONDS"),
        ("environment", "AGENT_TOKENS", SECRET, "AGENT_TOKENS"),
    ],
)
def test_a_wrong_setting_stops_the_start(place: str, name: str, value: str, told: str) -> None:
    """A malformed value, or an unknown name that is ours, stops the start and is named."""
    env = {name: value} if place == "environment" else {}
    app = f"tests.support.sites:misconfigured_site('{place}', '{name}', '{value}')"
    with pytest.raises(AssertionError, match=told) as caught, gunicorn(app, env=env):
        pass
    assert "ConfigError" in str(caught.value)
    if value == SECRET:
        assert SECRET not in str(caught.value)


def test_an_unknown_environment_variable_only_warns() -> None:
    """Other software uses the prefix too: its variables are named in the log."""
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, env={"AGENT_UNHEARD_OF": "not-to-be-told"}) as server:
        assert "AGENT_UNHEARD_OF" in server.log()
        assert "not-to-be-told" not in server.log()
        assert Client(server).chat_json(new_session()).status == 200


@pytest.mark.parametrize(("user", "tenant"), [("anna", "anna"), ("principal", "principal")])
def test_the_sites_login_names_the_tenant(login: Client, user: str, tenant: str) -> None:
    """`authenticate` answers the tenant's name or a Principal."""
    body = chat_body({"tell": "tenant"})
    answer = login.call("POST", "/chat", body, headers={"X-User": user, **WANTS_JSON})
    assert answer.json["reply"] == f'"{tenant}"'


@pytest.mark.parametrize(
    ("user", "status", "code"),
    [
        (None, 401, "unauthorized"),
        ("", 401, "unauthorized"),
        ("401", 401, "unauthorized"),
        ("403", 403, "forbidden"),
        ("404", 404, "not_found"),
        ("500", 500, "internal_error"),
        ("raise", 500, "internal_error"),
    ],
)
def test_the_sites_login_may_refuse(
    login: Client, opinionated: Client, user: str | None, status: int, code: str
) -> None:
    """None, an abort and any exception of `authenticate` are errors in the host's own shape."""
    headers = {} if user is None else {"X-User": user}
    for method, path in (("POST", "/chat"), ("GET", "/sessions"), ("GET", "/chat/s/events")):
        for client in (login, opinionated):
            check_refusal(client.call(method, path, headers=headers), status, code)


def test_the_sites_error_handlers_decide_what_its_login_raises() -> None:
    """An exception of `authenticate` has the status of the site's handler, nearest class first."""
    expected = {
        "AuthError": (401, "unauthorized"),
        "ExpiredError": (403, "forbidden"),
        "KeyError": (401, "unauthorized"),  # its handler redirects to the login page
        "TimeoutError": (500, "internal_error"),  # its handler fails
    }
    with gunicorn("tests.support.sites:handling_site()") as server:
        client = Client(server, token=None)
        for user, (status, code) in expected.items():
            for method, path in (("POST", "/chat"), ("GET", "/chat/s/events")):
                answer = client.call(method, path, headers={"X-User": user})
                check_refusal(answer, status, code)
                assert SECRET.encode() not in answer.body


def test_tokens_do_not_count_where_the_site_decides(login: Client) -> None:
    """`authenticate` beats tokens and development mode."""
    answer = Client(login.server, "dev").call("GET", "/sessions")
    check_refusal(answer, 401, "unauthorized")


@pytest.mark.parametrize("origin", [EVIL, "null", "http://127.0.0.1", "http://127.0.0.1:1"])
def test_another_sites_page_may_not_use_the_login(login: Client, origin: str) -> None:
    """A login may be a cookie, so what another origin's page sends is 403 unless it only reads."""
    headers = {"X-User": "anna", "Origin": origin}
    session = new_session()
    for method, path in (
        ("POST", f"/chat/{session}"),
        ("POST", f"/chat/{session}/cancel"),
        ("DELETE", f"/session/{session}"),
    ):
        check_refusal(login.call(method, path, chat_body(), headers=headers), 403, "forbidden")
    assert login.call("GET", "/sessions", headers=headers).status == 200
    assert login.call("GET", f"/session/{session}", headers=headers).status == 404


@pytest.mark.parametrize(
    ("prefix", "headers"),
    [
        ("/agents", {"Origin": "http://127.0.0.1:{port}"}),
        ("/agents", {"Origin": "https://site.example", "Sec-Fetch-Site": "same-origin"}),
        ("/open", {"Origin": "https://friend.example"}),
        ("/agents", {}),
    ],
)
def test_the_sites_own_pages_may(login: Client, prefix: str, headers: dict[str, str]) -> None:
    """Its own origin, one that settings allow, and clients that are no browser may write."""
    client = Client(login.server, token=None, prefix=prefix)
    sent = {name: value.format(port=login.server.port) for name, value in headers.items()}
    answer = client.call("POST", "/chat", chat_body(), headers={"X-User": "anna", **sent})
    assert answer.status == 200, answer.body


def test_tokens_are_no_cookies(servers: SharedServers) -> None:
    """With bearer tokens, which no browser sends by itself, the origin does not matter."""
    answer = Client(servers.get()).call("POST", "/chat", chat_body(), headers={"Origin": EVIL})
    assert answer.status == 200


@pytest.mark.parametrize("order", ["before", "after"])
def test_it_works_beside_csrf_protection(order: str) -> None:
    """CSRFProtect goes on to guard the site's forms, and lets the host's JSON requests pass."""
    with gunicorn(f"tests.support.sites:csrf_site('{order}')") as server:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        site = Client(server, prefix="")
        assert site.call("POST", "/form", body=b"x=1", headers=form).status == 400
        client = Client(server)
        session = new_session()
        assert types_of(run_turn(client, {"text": "x"}, session=session)) == ["token", "done"]
        assert client.call("DELETE", f"/session/{session}").json["deleted"] is True
        forged = client.call("POST", "/chat", body=b"message=hi", headers=form)
        check_refusal(forged, 415, "unsupported_media_type")


def test_the_sites_error_pages_stay_outside_the_prefix(opinionated: Client) -> None:
    """The site's error handlers serve the site, and never the host's paths."""
    site = Client(opinionated.server, token=None, prefix="")
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("POST", "/broken", 405),
        ("GET", "/broken", 500),
    ):
        answer = site.call(method, path)
        assert (answer.status, answer.body) == (status, b"<h1>The site's own page</h1>")
    anna = {"X-User": "anna"}
    check_refusal(opinionated.call("GET", "/nothing"), 404, "not_found")
    check_refusal(opinionated.call("GET", "/chat"), 405, "method_not_allowed")
    check_refusal(opinionated.call("GET", "/session/x", headers=anna), 404, "not_found")
    for status, code in ((503, "at_capacity"), (429, "rate_limited"), (418, "invalid_request")):
        aborted = opinionated.call("GET", "/healthz", headers={"X-Abort": str(status)})
        check_refusal(aborted, status, code)
    large = opinionated.call("POST", "/chat", body=2_000_000 * b" ", headers={**JSON, **anna})
    check_refusal(large, 413, "too_large")


def test_the_sites_lists_of_routes_work() -> None:
    """What lists an app's rules, as `flask routes` and debug pages do, finds methods in each."""
    app = Flask("site")
    AgentHost(scripted).init_app(app, url_prefix="/agents")
    assert all(
        "GET" in list(rule.methods or [])
        for rule in app.url_map.iter_rules("wsgi_app/agents.unknown")
    )
    listed = app.test_cli_runner().invoke(routes_command)
    assert listed.exit_code == 0, listed.output


def test_loading_starts_nothing_before_the_fork() -> None:
    """With --preload the arbiter has no thread, and its workers stream all the same."""
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, workers=2, args=["--preload"]) as server:
        assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) == 1
        client = Client(server)
        site = Client(server, prefix="")
        for _ in range(10):
            for kind in ("generator", "async"):
                assert types_of(run_turn(client, {"text": "x"}, kind=kind)) == ["token", "done"]
        assert {site.call("GET", "/pid").json for _ in range(20)} <= set(server.worker_pids())
        assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) == 1


def test_importing_the_package_builds_nothing() -> None:
    """`import wsgi_app` starts no thread, reads no setting and builds no app."""
    code = (
        "import threading, wsgi_app\n"
        "assert threading.active_count() == 1\n"
        "assert 'app' not in vars(wsgi_app)\n"
        "assert wsgi_app.app.name == wsgi_app.app.name\n"
        "assert threading.active_count() == 1\n"
    )
    run_python("-c", code)
    run_python("-c", "import wsgi_app", env={"AGENT_MAX_TURNS": "many"})
