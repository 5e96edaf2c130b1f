"""Who may ask: tokens, development mode, and tenants that must not know of each other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Answer, Client, chat_body, new_session
from tests.support.processes import temporary_folder
from tests.support.refusals import check_refusal, unharmed
from tests.support.servers import NGINX_LISTEN, NGINX_UPSTREAM, gunicorn, nginx
from tests.support.service import project_nginx
from tests.support.waiting import wait_for
from wsgi_app.auth.development import kept_token

ALPHA, BETA = "alpha-token==", "beta-token"
CLOSED_ROUTES = [
    ("POST", "/chat"),
    ("POST", "/chat/s-1"),
    ("GET", "/chat/s-1/events"),
    ("HEAD", "/chat/s-1/events"),
    ("GET", "/chat/s-1/poll"),
    ("POST", "/chat/s-1/cancel"),
    ("POST", "/chat/s-1/input"),
    ("GET", "/session/s-1"),
    ("DELETE", "/session/s-1"),
    ("GET", "/sessions"),
]
BAD_TOKENS = {
    "none": {},
    "another": {"Authorization": "Bearer gamma-token"},
    "the development one": {"Authorization": "Bearer dev"},
    "half of one": {"Authorization": f"Bearer {BETA[:-1]}"},
    "one and more": {"Authorization": f"Bearer {BETA}x"},
    "two": {"Authorization": f"Bearer {ALPHA} {BETA}"},
    "in capitals": {"Authorization": f"Bearer {BETA.upper()}"},
    "empty": {"Authorization": "Bearer "},
    "without a scheme": {"Authorization": BETA},
    "basic": {"Authorization": "Basic YWxwaGE6YWxwaGE="},
    "bytes": {"Authorization": "Bearer \xff\xfe"},
    "long": {"Authorization": "Bearer " + 7000 * "x"},
    "a tenant's name": {"Authorization": "Bearer beta"},
    "a cookie": {"Cookie": f"token={BETA}"},
}
FORWARDED = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Real-IP": "127.0.0.1",
    "Forwarded": "for=127.0.0.1",
    "X-Forwarded-Host": "localhost",
    "Via": "1.1 proxy",
    "CF-Connecting-IP": "127.0.0.1",
    "CF-Ray": "8f1",
    "CDN-Loop": "cloudflare",
    "True-Client-IP": "127.0.0.1",
    "Fly-Client-IP": "127.0.0.1",
    "Fly-Region": "ams",
    "X-Client-IP": "127.0.0.1",
    "X-Cluster-Client-IP": "127.0.0.1",
    "X-Envoy-External-Address": "127.0.0.1",
    "X-Original-Forwarded-For": "127.0.0.1",
    "X-Amzn-Trace-Id": "Root=1",
    "Fastly-Client-IP": "127.0.0.1",
    "X-Azure-ClientIP": "127.0.0.1",
    "X-Appengine-User-IP": "127.0.0.1",
}
HOSTS = {
    "localhost": 200,
    "localhost:8000": 200,
    "LOCALHOST.": 200,
    "agents.localhost:8000": 200,
    "devbox:8000": 200,
    "127.0.0.1:1": 200,
    "127.9.9.9": 200,
    "[::1]:8000": 200,
    "devbox.test:8000": 200,
    "rebound.example": 401,
    "rebound.example:8000": 401,
    "localhost.rebound.example": 401,
    "127.0.0.1.rebound.example": 401,
    "10.0.0.1": 401,
    "[2001:db8::1]:8000": 401,
    "0.0.0.0:8000": 401,
}


@pytest.fixture(scope="module")
def alpha() -> Iterator[Client]:
    """A client of the tenant alpha on a server with two tenants."""
    env = {"AGENT_TOKENS": f"{ALPHA}=alpha,{BETA}=beta"}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        yield Client(server, ALPHA)


@pytest.fixture(scope="module")
def beta(alpha: Client) -> Client:
    """A client of the tenant beta on the same server."""
    return Client(alpha.server, BETA)


@pytest.fixture(scope="module")
def developer() -> Iterator[Client]:
    """A client of a server that has no tokens."""
    env = {"AGENT_LOCAL_HOSTS": "devbox.test", "AGENT_ADMIN": "1"}
    with temporary_folder() as home:
        env["XDG_STATE_HOME"] = str(home)
        with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
            yield Client(server)


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_is_refused_on_every_route(alpha: Client, name: str) -> None:
    """Without a valid token every closed route is 401, whatever else is wrong."""
    stranger = Client(alpha.server, token=None)
    with unharmed(alpha):
        for method, path in CLOSED_ROUTES:
            answer = stranger.call(method, path, body=b"{", headers=BAD_TOKENS[name])
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            if method == "HEAD":
                assert answer.status == 401
            else:
                untold = [ALPHA, BETA, "alpha", "beta", "gamma", 10 * "x"]
                check_refusal(answer, 401, "unauthorized", untold)


def test_a_token_may_hold_equal_signs_and_any_case_of_bearer(alpha: Client) -> None:
    """Base64 tokens work, and the scheme's name has no case (RFC 9110, section 11.1)."""
    stranger = Client(alpha.server, token=None)
    headers = {"Authorization": f"bEARER  {ALPHA}"}
    assert stranger.call("GET", "/sessions", headers=headers).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_open(alpha: Client, path: str) -> None:
    """Load balancers have no token."""
    for client in (alpha, Client(alpha.server, token=None), Client(alpha.server, "wrong")):
        assert client.call("GET", path).status == 200


def test_the_tenant_comes_from_the_token_alone(alpha: Client, beta: Client) -> None:
    """Two tenants may use the same session id; neither sees anything of the other's."""
    session = new_session()
    alpha.chat_json(session, {"text": "for alpha"})
    beta.chat_json(session, {"text": "for beta"})
    for client, reply in ((alpha, "for alpha"), (beta, "for beta")):
        shown = client.call("GET", f"/session/{session}").json
        assert [message["content"] for message in shown["messages"]] == ["hi", reply]
        assert shown["turn_id"] == "1"


def visible(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """All that an answer tells, but for its time, and a ticket that is signed again each time."""
    return (
        answer.status,
        [item for item in answer.headers.items() if item[0] not in ("Date", "Content-Length")],
        re.sub(rb'"ticket":"[\w.-]+"', b'"ticket":""', answer.body),
    )


@pytest.mark.parametrize(
    "request_sent",
    [
        ("GET", "/chat/{}/events", None),
        ("HEAD", "/chat/{}/events", None),
        ("GET", "/chat/{}/events?last_event_id=0-0", None),
        ("GET", "/chat/{}/events?last_event_id=1-1", None),
        ("GET", "/chat/{}/events?last_event_id=9-9", None),
        ("GET", "/chat/{}/poll", None),
        ("GET", "/chat/{}/poll?after=0-0", None),
        ("GET", "/chat/{}/poll?after=1-1&wait=55", None),
        ("GET", "/session/{}", None),
        ("POST", "/chat/{}/cancel", None),
        ("POST", "/chat/{}/cancel", {"turn_id": "1"}),
        ("POST", "/chat/{}/input", {"request_id": "{}", "value": "yes"}),
        ("POST", "/chat/{}/ticket", None),
        ("DELETE", "/session/{}", None),
    ],
)
@pytest.mark.parametrize("running", [False, True])
def test_another_tenants_session_looks_like_an_unknown_one(
    alpha: Client, beta: Client, request_sent: tuple[str, str, Any], *, running: bool
) -> None:
    """Whatever is asked of another tenant's session, the answer is an unknown session's."""
    method, path, body = request_sent
    session, unknown = new_session(), new_session()
    request_id = "none"
    if running:
        stream = alpha.chat(session, {"ask": "Really?"}, on_disconnect="continue")
        request_id = stream.until("input_request")[-1].data["request_id"]
        stream.close()
    else:
        alpha.chat_json(session, {"text": "private"})
    before = alpha.call("GET", f"/session/{session}").json
    if body and "request_id" in body:
        body = {**body, "request_id": request_id}
    answers = [beta.call(method, path.format(one), body) for one in (session, unknown)]
    assert visible(answers[0]) == visible(answers[1])
    assert session.encode() not in answers[0].body
    after = alpha.call("GET", f"/session/{session}").json
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}
    alpha.call("DELETE", f"/session/{session}")


def test_a_list_shows_the_tenants_own_sessions_alone(alpha: Client, beta: Client) -> None:
    """`GET /sessions` never shows another tenant's session, nor continues another tenant's list."""
    mine = [new_session() for _ in range(3)]
    for session in mine:
        alpha.chat_json(session, {"text": "x"})
    listed = alpha.call("GET", "/sessions?limit=2").json
    assert [one["session_id"] for one in listed["sessions"]] == mine[:0:-1]
    foreign = beta.call("GET", f"/sessions?limit=200&cursor={listed['next_cursor']}").json
    shown = {one["session_id"] for one in beta.call("GET", "/sessions").json["sessions"]}
    shown |= {one["session_id"] for one in foreign["sessions"]}
    assert not shown & set(mine)


def test_idempotency_keys_are_the_tenants_own(alpha: Client, beta: Client) -> None:
    """The same key of two tenants names two sessions."""
    headers = {"Idempotency-Key": new_session(), "Accept": "application/json"}
    answers = [
        client.call("POST", "/chat", chat_body({"text": text}), headers=headers).json
        for client, text in ((alpha, "alpha"), (beta, "beta"))
    ]
    assert [answer["reply"] for answer in answers] == ["alpha", "beta"]
    assert answers[0]["session_id"] != answers[1]["session_id"]


def test_development_mode_serves_this_machine(developer: Client) -> None:
    """Without tokens, `dev` is the tenant `demo-tenant` for requests straight from this machine."""
    assert developer.chat_json(new_session(), {"tell": "tenant"}).json["reply"] == '"demo-tenant"'
    refused = Client(developer.server, "other").call("GET", "/sessions")
    check_refusal(refused, 401, "unauthorized")
    assert "AGENT_TOKENS" in refused.json["message"]


@pytest.mark.parametrize("header", FORWARDED)
def test_development_mode_refuses_what_a_proxy_forwards(developer: Client, header: str) -> None:
    """Behind a proxy everybody comes from this machine, so `dev` is 401 and says what to set."""
    for value in (FORWARDED[header], ""):
        answer = developer.call("GET", "/sessions", headers={header: value})
        check_refusal(answer, 401, "unauthorized")
        assert "AGENT_TOKENS" in answer.json["message"]


@pytest.mark.parametrize("host", HOSTS)
def test_development_mode_wants_this_machines_name(developer: Client, host: str) -> None:
    """A page whose owner has pointed its name to this machine names itself, not this machine."""
    answer = developer.call("GET", "/sessions", headers={"Host": host})
    assert answer.status == HOSTS[host], answer.body


def test_development_mode_refuses_a_bare_proxy() -> None:
    """Nginx with nothing but `proxy_pass` comes from this machine and names it, for the world."""
    bare = f"upstream app {{ {NGINX_UPSTREAM} }}\n"
    bare += f"server {{ {NGINX_LISTEN} location / {{ proxy_pass http://app; }} }}"
    direct = f"server {{ {NGINX_LISTEN} location / {{ proxy_pass http://127.0.0.1:PORT; }} }}"
    with gunicorn("tests.support.apps:scripted_app()") as server:
        for conf in (bare, f"{bare.partition('server {')[0]}{direct}"):
            text = conf.replace("PORT", str(server.port))
            with nginx(text, upstreams=[server]) as proxy:
                check_refusal(Client(proxy).call("GET", "/sessions"), 401, "unauthorized")
                check_refusal(Client(proxy).call("GET", "/metrics"), 401, "unauthorized")


def test_the_projects_nginx_is_no_developer() -> None:
    """Behind deploy/nginx.conf neither `dev` nor this machine's right to the metrics counts."""
    env = {"AGENT_METRICS_LOCAL": "1"}
    with (
        gunicorn("tests.support.apps:scripted_app()", env=env) as server,
        project_nginx([server]) as proxy,
    ):
        assert Client(server).call("GET", "/sessions").status == 200
        assert Client(server, None).call("GET", "/metrics").status == 200
        for host in ("localhost", "127.0.0.1", "rebound.example"):
            for path in ("/sessions", "/metrics"):
                answer = Client(proxy).call("GET", path, headers={"Host": host})
                assert answer.status == 401, (host, path, answer.body)


def test_dev_is_no_operator(developer: Client) -> None:
    """Everybody knows `dev`: what needs the scope admin takes the token told at the start."""
    check_refusal(developer.call("POST", "/admin/cancel", {}), 403, "forbidden")
    check_refusal(developer.call("GET", "/metrics"), 403, "forbidden")
    line = r"what needs the scope admin takes the token (\S+)"
    wait_for(lambda: re.search(line, developer.server.log()), "the token is told")
    [token] = set(re.findall(line, developer.server.log()))
    operator = Client(developer.server, token)
    assert operator.call("GET", "/metrics").status == 200
    check_refusal(operator.call("GET", "/metrics", headers={"Via": "1.1 p"}), 401, "unauthorized")


def test_the_development_token_is_kept(tmp_path: Path) -> None:
    """All processes of the account have one token, which no other account may read."""
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: kept_token(tmp_path / "state"), range(32)))
    assert len(tokens) == 1
    assert len(tokens.pop()) == 43
    [file] = (tmp_path / "state").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(ValueError, match="other accounts"):
        kept_token(tmp_path / "state")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        kept_token(tmp_path / "state")


def test_no_tenant_reaches_anothers_directory(tmp_path: Path) -> None:
    """A tenant named like the directory of another has one of its own."""
    spaced = "ACME Corp"
    hashed = "sha256-" + hashlib.sha256(spaced.encode()).hexdigest()
    env = {"AGENT_TOKENS": f"a={spaced},b={hashed}", "AGENT_WORKDIR": str(tmp_path)}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        answers = [Client(server, token).chat_json("s", {"tell": "workdir"}) for token in "ab"]
    assert len({json.loads(answer.json["reply"]) for answer in answers}) == 2
    assert len(list(tmp_path.glob("@*/*"))) == 2
