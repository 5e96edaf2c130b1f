"""Keys at a URL: when they are fetched, and that no request waits for it without need."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.client import Client
from tests.support.servers import gunicorn
from tests.support.waiting import wait_for
from tests.support.web_tokens import (
    AUDIENCE,
    ISSUER,
    KeyServer,
    key_server,
    key_set,
    public_jwk,
    signed,
)
from wsgi_app.auth import remote_keys
from wsgi_app.auth.remote_keys import FETCH_SECONDS, FRESH_SECONDS, WAIT_SECONDS, RemoteKeys
from wsgi_app.errors import RequestError

SETTING = "AGENT_JWT_JWKS"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyServer]:
    """A provider with one key."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with key_server(key_set(public_jwk("ES256"))) as server:
        yield server


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Moves the clock of the keys forward."""
    ahead, real = [0.0], time.monotonic

    class Clock:
        monotonic = staticmethod(lambda: real() + ahead[0])

    monkeypatch.setattr(remote_keys, "time", Clock)

    def forward(seconds: float) -> None:
        ahead[0] += seconds

    yield forward
    wait_for(lambda: not fetching(), "no fetch goes on")


def fetching() -> list[str]:
    """The threads that fetch."""
    return [t.name for t in threading.enumerate() if t.name == "wsgi_app-keys"]


def test_keys_are_fetched_once(provider: KeyServer) -> None:
    """The first token brings them, all others find them."""
    keys = RemoteKeys(provider.url, SETTING)
    assert provider.fetches == 0
    for _ in range(50):
        assert keys.find("ES256", "ES256") is not None
    assert provider.fetches == 1


def test_many_first_requests_share_one_fetch(provider: KeyServer) -> None:
    """Who comes while it is under way waits for the same."""
    provider.answering.clear()
    keys = RemoteKeys(provider.url, SETTING)
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(keys.find("ES256", "ES256")))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: provider.fetches, "the fetch has begun")
    provider.answering.set()
    for thread in threads:
        thread.join(10)
    assert (len(found), None in found, provider.fetches) == (20, False, 1)


def test_an_unknown_key_is_looked_for_at_a_bounded_rate(
    provider: KeyServer, clock: Callable[[float], None]
) -> None:
    """A new key is found with its first token; made-up ones cost one fetch in a while."""
    keys = RemoteKeys(provider.url, SETTING)
    assert keys.find("ES256", "ES256") is not None
    provider.text = key_set(public_jwk("EdDSA"))
    assert all(keys.find(f"made-up-{n}", "ES256") is None for n in range(100))
    assert keys.find("EdDSA", "EdDSA") is None
    assert provider.fetches == 1
    clock(FETCH_SECONDS)
    assert keys.find("EdDSA", "EdDSA") is not None
    assert provider.fetches == 2
    assert keys.find("ES256", "ES256") is None  # it was withdrawn


def test_old_keys_are_renewed_beside_the_requests(
    provider: KeyServer, clock: Callable[[float], None]
) -> None:
    """A request with a known key never waits; a withdrawn key is forgotten."""
    keys = RemoteKeys(provider.url, SETTING)
    assert keys.find("ES256", "ES256") is not None
    provider.text = key_set(public_jwk("EdDSA"))
    provider.answering.clear()
    clock(FRESH_SECONDS + 1)
    assert keys.find("ES256", "ES256") is not None
    assert fetching()
    provider.answering.set()
    wait_for(lambda: keys.find("ES256", "ES256") is None, "the withdrawn key is forgotten")
    assert provider.fetches == 2


@pytest.mark.parametrize("fault", ["down", "status", "redirect", "rubbish", "no keys", "endless"])
def test_an_outage_keeps_the_old_keys(
    provider: KeyServer,
    clock: Callable[[float], None],
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    """What fails is told to the log, without the URL; known keys go on to count."""
    keys = RemoteKeys(provider.url.replace("//", "//user:s3cret@"), SETTING)
    assert keys.find("ES256", "ES256") is not None
    if fault == "down":
        keys._url = "http://user:s3cret@127.0.0.1:1/"  # noqa: SLF001 - the provider goes away
    elif fault in ("status", "redirect"):
        provider.status = 500 if fault == "status" else 302
    elif fault == "endless":
        provider.text = '{"keys": [' + 2_000_000 * " "
    else:
        provider.text = "<html>s3cret" if fault == "rubbish" else '{"keys": []}'
    for _ in range(3):
        clock(FRESH_SECONDS + 1)
        assert keys.find("ES256", "ES256") is not None
        wait_for(lambda: not fetching(), "the fetch has failed")
    assert keys.find("made-up", "ES256") is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert SETTING in caplog.text
    assert "s3cret" not in caplog.text


def test_no_keys_at_all_is_reported_as_such(clock: Callable[[float], None]) -> None:
    """Until keys were there, tokens can neither be taken nor refused: 503, to be tried again."""
    keys = RemoteKeys("http://127.0.0.1:1/", SETTING)
    for _ in range(2):
        with pytest.raises(RequestError, match="store_unavailable"):
            keys.find("ES256", "ES256")
        clock(FETCH_SECONDS)


def test_a_provider_that_hangs_holds_nobody_up_for_long(provider: KeyServer) -> None:
    """A byte now and then does not extend the deadline, and after the first wait nobody waits."""
    provider.answering.clear()
    provider.text = 1000 * " "
    keys = RemoteKeys(provider.url, SETTING)
    with pytest.raises(RequestError, match="store_unavailable"):
        keys.find("ES256", "ES256")
    wait_for(lambda: not fetching(), "the fetch is given up", WAIT_SECONDS + 10)
    keys._fetch_from = 0.0  # noqa: SLF001 - it is time for the next one
    for _ in range(100):
        with pytest.raises(RequestError, match="store_unavailable"):
            keys.find("ES256", "ES256")
    assert fetching()  # who waits sees its end
    provider.answering.set()
    wait_for(lambda: not fetching(), "the fetch is over")


def test_a_service_takes_tokens_of_a_provider(provider: KeyServer) -> None:
    """With a URL, behind two workers: good, expired, forged and plain tokens, side by side."""
    env = {
        "AGENT_TOKENS": "plain=acme",
        "AGENT_JWT_JWKS": provider.url,
        "AGENT_JWT_AUDIENCE": AUDIENCE,
        "AGENT_JWT_ISSUER": ISSUER,
    }
    with gunicorn("tests.support.apps:scripted_app()", workers=2, env=env) as server:
        good = Client(server, signed("ES256"))
        for _ in range(10):
            assert good.chat_json("s-1", {"tell": "tenant"}).json["reply"] == '"acme"'
        expired = Client(server, signed("ES256", exp=1)).call("GET", "/sessions")
        assert (expired.status, expired.json["message"][:21]) == (401, "The token has expired")
        stranger = Client(server, signed("EdDSA")).call("GET", "/sessions")
        assert (stranger.status, stranger.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert Client(server, "plain").call("GET", "/sessions").status == 200
        huge = Client(server, signed("ES256", filler="x" * 20_000)).call("GET", "/sessions")
        assert huge.status in (400, 401, 431)
        assert signed("ES256")[:20] not in server.log()
    assert provider.fetches
