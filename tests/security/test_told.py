"""What strangers and tenants are not told: workers, set-ups, and keys in URLs."""

from __future__ import annotations

import http.client
import io
import json
import logging
import ssl
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from tests.support.client import Client, new_session
from tests.support.processes import free_port
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.service import project_nginx
from wsgi_app.logs import hide_urls_secrets

LOOPBACK = r'    "~^http/127\."    0;'
FORWARDED = {"X-Forwarded-For": "192.0.2.1"}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers without Redis, which is worth a warning."""
    tokens = "low=low-tenant,boss=low-tenant scopes=chat+read+admin"
    env = {"AGENT_TOKENS": tokens, "AGENT_MAX_TURNS_PER_TENANT": "100"}
    with gunicorn("tests.support.apps:scripted_app()", workers=2, env=env) as running:
        yield running


def test_warnings_are_not_for_strangers(server: Gunicorn) -> None:
    """Through a proxy `/readyz` tells of the set-up to the scope admin alone."""
    for token, headers, told in (
        (None, {}, True),
        (None, FORWARDED, False),
        ("low", FORWARDED, False),
        ("wrong", FORWARDED, False),
        ("boss", FORWARDED, True),
        (None, {"Host": "rebound.example"}, False),
    ):
        answer = Client(server, token).call("GET", "/readyz", headers=headers)
        assert (answer.status, bool(answer.json["warnings"])) == (200, told), (token, headers)


def test_a_tenant_does_not_learn_hosts_and_processes() -> None:
    """`owner` is the same for the same worker, and tells nothing else but to the scope admin."""
    tokens = "low=low-tenant,boss=low-tenant scopes=chat+read+admin"
    with (
        redis_server() as store,
        gunicorn(
            "tests.support.apps:scripted_app()",
            env={"AGENT_TOKENS": tokens, "AGENT_REDIS_URL": store.url},
        ) as one,
    ):
        low, boss = Client(one, "low"), Client(one, "boss")
        owners = set()
        for _ in range(2):
            session = new_session()
            low.chat_json(session, {"text": "x"})
            owners.add(low.call("GET", f"/session/{session}").json["owner"])
        [owner] = owners
        assert len(owner) == 16
        assert int(owner, 16)
        whole = boss.call("GET", f"/session/{session}").json["owner"]
        assert f":{one.worker_pids()[0]}:" in whole


def test_plain_http_is_sent_to_tls(server: Gunicorn) -> None:
    """Nginx serves this machine itself over plain HTTP, and sends all others to TLS."""
    tls_port = free_port()
    with project_nginx([server], tls_port=tls_port, changes={LOOPBACK: ""}) as proxy:
        answer = Client(proxy, "low").call("POST", "/chat/s?x=1", {"message": "hi"})
        assert answer.status == 308
        assert answer.headers["Location"] == "https://127.0.0.1/agents/chat/s?x=1"
        trusting = ssl._create_unverified_context()  # noqa: S323, SLF001 - its own certificate
        connection = http.client.HTTPSConnection(
            "127.0.0.1", tls_port, timeout=10, context=trusting
        )
        with closing(connection):
            connection.request("GET", "/agents/healthz")
            assert json.loads(connection.getresponse().read()) == {"status": "ok"}
    with project_nginx([server]) as proxy:
        assert Client(proxy, "low").call("GET", "/sessions").status == 200


def test_urls_of_http_clients_keep_their_keys() -> None:
    """What httpx logs of a request names scheme, host and port alone."""
    written = io.StringIO()
    logger, handler = logging.getLogger("httpx2"), logging.StreamHandler(written)
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    hide_urls_secrets()
    hide_urls_secrets()
    try:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200))
        with httpx2.Client(transport=transport) as client:
            client.post("https://user:pass-key@mcp.example:8443/s/path-key/mcp?key=query-key")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert "https://mcp.example:8443/…" in written.getvalue()
    assert "-key" not in written.getvalue()
    assert len(logger.filters) == 1
