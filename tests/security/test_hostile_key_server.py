"""The server of the keys that tokens are checked with is slow, silent, endless or a bomb."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.hostile_web import FAULTS, HostileWeb, hostile_web
from tests.support.servers import Gunicorn, gunicorn
from tests.support.waiting import wait_for
from tests.support.web_tokens import AUDIENCE, ISSUER, key_set, public_jwk, signed
from wsgi_app.auth import remote_keys
from wsgi_app.auth.remote_keys import FETCH_SECONDS, WAIT_SECONDS, RemoteKeys
from wsgi_app.errors import RequestError

#: The fewest with which a worker makes sense.
THREADS = 4
STRANGERS = 16
#: In which the service must have fetched in vain at least once.
ATTACK_SECONDS = FETCH_SECONDS + WAIT_SECONDS + 1
#: A tenant's request; a request that waits for the keys takes three seconds.
BOUND_SECONDS = 1.5
MAX_MORE_BYTES = 60_000_000
#: In the core set; the others differ little in how they are held off.
CORE = ("drips its body",)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileWeb]:
    """A provider with one key, good until a test says otherwise."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hostile_web(key_set(public_jwk("ES256"))) as running:
        yield running


@pytest.mark.parametrize(
    "fault",
    [name if name in CORE else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS],
)
def test_a_fetch_ends_in_time(web: HostileWeb, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Whatever the server sends or does not send, the request is told in time to try again."""
    monkeypatch.setattr(remote_keys, "WAIT_SECONDS", 0.5)
    web.fault = fault
    keys = RemoteKeys(web.url, "AGENT_JWT_JWKS")
    began_at = time.monotonic()
    with pytest.raises(RequestError, match="store_unavailable"):
        keys.find("ES256", "ES256")
    assert time.monotonic() - began_at < 2.0
    wait_for(lambda: web.asked and not web.open, "the connection is given up", 5)
    assert web.asked == 1, "a redirect is not followed"


@contextmanager
def strangers(server: Gunicorn) -> Iterator[Counter[int]]:
    """So many with well-made tokens of keys that nobody has; counts the answers' statuses."""
    seen: Counter[int] = Counter()
    over = threading.Event()
    token = signed("ES384", "-of-a-stranger")

    def ask() -> None:
        client = Client(server, token)
        while not over.is_set():
            seen[client.call("GET", "/sessions").status] += 1

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(STRANGERS)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(20)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["silence", "drips its body", "body without end", "bomb"])
def test_known_tenants_are_served_meanwhile(web: HostileWeb, fault: str) -> None:
    """While strangers have the keys fetched from such a server, known tokens go on."""
    env = {
        "AGENT_TOKENS": "plain=acme",
        "AGENT_JWT_JWKS": web.url,
        "AGENT_JWT_AUDIENCE": AUDIENCE,
        "AGENT_JWT_ISSUER": ISSUER,
    }
    with gunicorn("tests.support.apps:scripted_app()", threads=THREADS, env=env) as server:
        tenants = [Client(server, token) for token in ("plain", signed("ES256"))]
        assert [tenant.call("GET", "/sessions").status for tenant in tenants] == [200, 200]
        (pid,) = server.worker_pids()
        web.fault = fault
        before, asked_before = memory(pid), web.asked
        slowest = most = 0.0
        ends_at = time.monotonic() + ATTACK_SECONDS
        with strangers(server) as seen:
            while time.monotonic() < ends_at:
                for tenant in tenants:
                    began_at = time.monotonic()
                    assert tenant.call("GET", "/sessions").status == 200
                    slowest = max(slowest, time.monotonic() - began_at)
                most = max(most, memory(pid))
        assert web.asked > asked_before
    assert set(seen) <= {401, 503}, seen
    assert slowest < BOUND_SECONDS
    assert most - before < MAX_MORE_BYTES


def memory(pid: int) -> int:
    """What a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
