"""Secrets: a busy service that also fails in many ways writes none of them anywhere."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from simple_websocket import Client as WebSocket

from tests.security.routes import ROUTES, bearer, opened, read_all
from tests.security.samples import PREFIX, Target
from tests.support.client import chat_body, new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Nginx, Redis, Server, gunicorn, redis_server
from tests.support.service import project_nginx
from tests.support.sse import StreamCutError
from tests.support.waiting import wait_for
from tests.support.web_tokens import AUDIENCE, ISSUER, key_set, public_jwk, signed
from wsgi_app.auth import hash_token

PASSWORD = "redis-passw0rd-of-the-store"
PLAIN = "plain-t0ken-of-the-settings"
FILED = "filed-t0ken-of-the-file"
MODEL_KEY = "sk-m0del-key-of-the-provider"
WRONG = "wr0ng-token-of-a-stranger"


class Busy:
    """A service behind nginx, all that it has answered, and all secrets that it has seen."""

    def __init__(self, store: Redis, host: Gunicorn, proxy: Nginx) -> None:
        self.store, self.host, self.proxy = store, host, proxy
        self.answers: list[bytes] = []
        self.secrets = [PASSWORD, PLAIN, FILED, MODEL_KEY, WRONG]

    def ask(self, server: Server, name: str, target: Target, headers: dict[str, str]) -> None:
        """Send a route's request and keep the whole answer, but for a ticket's."""
        with opened(server, name, target, headers) as answer:
            told = str(answer.headers).encode() + read_all(answer)
        if name.endswith("/ticket") and b'{"ticket"' in told:
            self.secrets.append(json.loads(told[told.index(b'{"ticket"') :])["ticket"])
        else:
            self.answers.append(told)

    def read(self, client: ReadingClient, path: str) -> int:
        """Get what a path answers and keep it; gives the status."""
        answer = client.call("GET", path)
        self.answers.append(answer.headers.as_bytes() + answer.body)
        return answer.status

    def ticket(self, session: str) -> str:
        """A ticket for a session."""
        client = ReadingClient(self.proxy, PLAIN)
        made = str(client.call("POST", f"/chat/{session}/ticket").json["ticket"])
        self.secrets.append(made)
        return made


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    """The project's gunicorn and nginx configurations, with every kind of secret set."""
    folder: Path = tmp_path_factory.mktemp("secrets")
    (folder / "tokens").write_text(f"{hash_token(FILED)}=filed\n")
    (folder / "keys").write_text(key_set(public_jwk("ES256")))
    with ExitStack() as stack:
        store = stack.enter_context(redis_server())
        with store.client() as client:
            client.config_set("requirepass", PASSWORD)
        env = {
            "AGENT_REDIS_URL": store.url.replace("//", f"//:{PASSWORD}@"),
            "AGENT_TOKENS": f"{PLAIN}=acme scopes=chat+read+cancel+admin",
            "AGENT_TOKENS_FILE": str(folder / "tokens"),
            "AGENT_JWT_JWKS": str(folder / "keys"),
            "AGENT_JWT_AUDIENCE": AUDIENCE,
            "AGENT_JWT_ISSUER": ISSUER,
            "OPENAI_API_KEY": MODEL_KEY,
            "AGENT_KEEPALIVE_SECONDS": "0.5",
            "AGENT_DRAIN_SECONDS": "1",
            "WEB_CONCURRENCY": "2",
        }
        host = stack.enter_context(
            gunicorn(
                "tests.support.apps:scripted_app()",
                workers=None,
                threads=24,
                config=ROOT / "gunicorn.conf.py",
                env=env,
                args=["--log-level", "debug"],
            )
        )
        yield Busy(store, host, stack.enter_context(project_nginx([host])))


@pytest.mark.slow
def test_a_busy_service_writes_no_secret(busy: Busy) -> None:
    """Neither logs (at debug level), nor answers, nor events hold one."""
    use_every_route(busy)
    use_tickets(busy)
    fail_agents(busy)
    send_rubbish(busy)
    read_all_there_is(busy)
    check(busy)


@pytest.mark.slow
def test_a_failing_service_writes_no_secret(busy: Busy) -> None:
    """The same while workers die and the store goes away."""
    send_rubbish(busy)
    lose_a_worker(busy)
    lose_the_store(busy)
    read_all_there_is(busy)
    check(busy)


def use_every_route(busy: Busy) -> None:
    """With every kind of token, good and bad, in a header and where none belongs."""
    web_token, expired = signed("ES256"), signed("ES256", exp=1)
    busy.secrets += [web_token, expired]
    some = ["GET /sessions", "POST /chat", "POST /v1/responses", "WS /ws/chat/<session_id>"]
    for token in (PLAIN, FILED, web_token, expired, WRONG):
        for name in ROUTES if token in (PLAIN, WRONG) else some:
            busy.ask(busy.proxy, name, Target(new_session()), bearer(token))
    stranger = ReadingClient(busy.proxy, None)
    for path in ("/sessions", "/nowhere", "/chat/s/events"):
        busy.read(stranger, f"{path}?access_token={PLAIN}&ticket={quote(web_token)}")


def use_tickets(busy: Busy) -> None:
    """Good ones, and one that is not; by nginx and directly, on a WebSocket too."""
    for server in (busy.proxy, busy.host):
        session = new_session()
        ReadingClient(server, PLAIN).chat_json(session, {"text": "x"})
        ticket = busy.ticket(session)
        stranger = ReadingClient(server, None)
        for query in (f"last_event_id=0-0&ticket={ticket}", f"ticket={ticket[:-3]}xyz"):
            busy.read(stranger, f"/chat/{session}/events?{query}")
            busy.read(stranger, f"/chat/{session}/poll?{query}")
        url = f"ws://127.0.0.1:{server.port}{PREFIX}/ws/chat/{session}?ticket={ticket}"
        with closing(WebSocket(url)) as connection:
            connection.send(json.dumps({"type": "resume", "last_event_id": "0-0"}))
            connection.send("{")
            busy.answers += [str(connection.receive(timeout=15)).encode() for _ in range(3)]


def fail_agents(busy: Busy) -> None:
    """Exceptions reach the log with their stack."""
    client = ReadingClient(busy.proxy, PLAIN)
    for steps in ([{"raise": "ValueError"}], [{"exit": 3}], [{"rubbish": "bytes"}]):
        busy.answers.append(client.call("POST", f"/chat/{new_session()}", chat_body(*steps)).body)


def send_rubbish(busy: Busy) -> None:
    """What is no request, to gunicorn itself and by nginx."""
    ticket = busy.ticket("s-1")
    for line in (
        f"GET {PREFIX}/chat/s/events?ticket={ticket} x HTTP/1.1\r\nHost: x",
        f"GET {PREFIX}/chat/s/events?ticket={ticket} HTTP/9.9\r\nHost: x",
        f"GE\x01T {PREFIX}/chat/s/events?ticket={ticket} HTTP/1.1\r\nHost: x",
        f"GET {PREFIX}/sessions HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {PLAIN}",
        f"GET {PREFIX}/sessions HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {PLAIN}",
        f"GET {PREFIX}/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {PLAIN}\x00",
        f"GET {PREFIX}/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {PLAIN * 1000}",
        f"POST {PREFIX}/chat/s?ticket={ticket} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {PLAIN}",
    ):
        for server in (busy.host, busy.proxy):
            with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
                connection.sendall(f"{line}\r\nConnection: close\r\n\r\n".encode("latin-1"))
                head = b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")[
                    0
                ]
            assert head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), head


def lose_a_worker(busy: Busy) -> None:
    """A stream that a ticket opened is cut, which nginx and gunicorn tell in their logs."""
    session = new_session()
    client = ReadingClient(busy.proxy, PLAIN)
    with client.chat(session, {"text": "x"}, {"hold": 1}, on_disconnect="continue") as own:
        own.until("token")
        path = f"/chat/{session}/events?ticket={busy.ticket(session)}"
        with ReadingClient(busy.proxy, None).stream("GET", path) as stream:
            stream.until("token")
            for pid in busy.host.worker_pids():
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(StreamCutError):
                list(stream)
    wait_for(lambda: client.call("GET", "/healthz").status == 200, "new workers", 30)


def lose_the_store(busy: Busy) -> None:
    """Redis stops to answer, and later takes no password but another."""
    client = ReadingClient(busy.proxy, PLAIN)
    busy.store.signal(signal.SIGSTOP)
    for path in ("/sessions", "/readyz", "/chat/s-1/events"):
        busy.read(client, path)
    busy.store.signal(signal.SIGCONT)
    with redis.Redis.from_url(busy.store.url, password=PASSWORD) as store:
        store.config_set("requirepass", "another")
        store.client_kill_filter(_type="normal", skipme=True)
    for path in ("/sessions", "/readyz", "/chat/s-1/events"):
        busy.read(client, path)
    with redis.Redis.from_url(busy.store.url, password="another") as store:
        store.config_set("requirepass", PASSWORD)
    wait_for(lambda: client.call("GET", "/readyz").status == 200, "the store is back", 30)


def read_all_there_is(busy: Busy) -> None:
    """All sessions with their events, the metrics, and what the store holds."""
    client = ReadingClient(busy.proxy, PLAIN)
    for one in client.call("GET", "/sessions?limit=200").json["sessions"]:
        busy.read(client, f"/session/{one['session_id']}")
        busy.read(client, f"/chat/{one['session_id']}/poll?after=0-0")
    for path in ("/metrics", "/readyz", "/openapi.json"):
        assert busy.read(client, path) == 200, path


def check(busy: Busy) -> None:
    """Fail if anything that was written holds a secret, or nothing was written."""
    logs = {"gunicorn": busy.host.log(), "nginx": busy.proxy.log()}
    assert all(f"{PREFIX}/chat/s/events" in log for log in logs.values()), "the logs were not read"
    written = {**logs, "answers": b"\n".join(busy.answers).decode("utf-8", "replace")}
    secrets = {*busy.secrets, *(quote(one, safe="") for one in busy.secrets)}
    # Of what is signed each part says enough.
    parts = {part for one in busy.secrets if "." in one for part in one.split(".")[1:]}
    secrets |= {part for part in parts if len(part) > 16}
    assert len(secrets) > 5
    for place, text in written.items():
        for secret in secrets:
            at = text.find(secret)
            assert at < 0, f"{place}: …{text[max(0, at - 300) : at + len(secret)]}"
