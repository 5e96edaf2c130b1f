"""The Redis store by each kind of address: TCP, Unix socket and TLS, in either protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.store.steps import KEY, end, events, ids, start
from tests.support.processes import free_port
from tests.support.servers import Redis, redis_server
from tests.support.service import make_certificate
from tests.support.waiting import wait_for
from wsgi_app.compat.redis import protocol_options
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import ConfigError, StoreUnavailable
from wsgi_app.store.base import Signal
from wsgi_app.store.redis import RedisStore

TIMEOUT_SECONDS = 10


def use(url: str) -> None:
    """Run a turn through a store of its own, and hear a signal of it."""
    store = RedisStore(url, timeout_seconds=TIMEOUT_SECONDS, start_thread=start_thread)
    heard: list[Signal] = []
    store.listen(heard.append, "worker")
    fence = start(store, worker_id="worker")
    assert store.append(fence, 1, events(1, 3)).last_seq == 3
    assert store.request_cancel(KEY, None, "user") == [fence.turn]
    wait_for(lambda: heard == [Signal("cancel", KEY, fence.turn, "user")], "the signal")
    assert ids(store)[-3:] == [f"{fence.turn}-{seq}" for seq in (1, 2, 3)]
    end(store, fence, 4)
    store.ping()
    assert store.warnings() == []
    store.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """A redis-server at a TCP port and a Unix socket."""
    with redis_server(unix_socket=True) as server:
        yield server


@pytest.mark.parametrize("protocol", ["", "?protocol=2", "?protocol=3"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_both_protocols_over_each_kind_of_socket(server: Redis, kind: str, protocol: str) -> None:
    """A turn runs over a TCP or Unix socket, in whichever protocol the address says.

    Where redis-py is too old for RESP3, the store is not made.
    """
    url = (server.url if kind == "unix" else f"redis://127.0.0.1:{server.port}/0") + protocol
    if protocol == "?protocol=3" and not protocol_options():
        with pytest.raises(ConfigError, match="protocol=3"):
            RedisStore(url)
    else:
        use(url)


@contextmanager
def redis_with_tls(folder: Path, *, client_certificates: bool) -> Iterator[str]:
    """Run a redis-server with the certificate of a folder; yields its place."""
    port = free_port()
    files = ["--tls-cert-file", str(folder / "agents.crt"), "--tls-key-file"]
    files += [str(folder / "agents.key"), "--tls-ca-cert-file", str(folder / "agents.crt")]
    asks = ["--tls-auth-clients", "yes" if client_certificates else "no"]
    with redis_server(args=["--tls-port", str(port), *files, *asks]):
        yield f"127.0.0.1:{port}/0"


def refused(url: str, caplog: pytest.LogCaptureFixture) -> str:
    """What the log says of a server that is not to be trusted."""
    store = RedisStore(url, timeout_seconds=TIMEOUT_SECONDS)
    with caplog.at_level(logging.WARNING), pytest.raises(StoreUnavailable):
        store.ping()
    store.close()
    return caplog.text


def test_tls_is_verified(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Over TLS a store works with its authority's file, and not with a server it cannot verify."""
    make_certificate(tmp_path, "IP:127.0.0.1")
    with redis_with_tls(tmp_path, client_certificates=False) as place:
        use(f"rediss://{place}?ssl_ca_certs={tmp_path}/agents.crt")
        use(f"rediss://{place}?ssl_cert_reqs=none")
        assert "certificate verify failed" in refused(f"rediss://{place}", caplog)


def test_tls_looks_at_the_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A trusted certificate for another name is refused, unless the address says not to look."""
    make_certificate(tmp_path, "DNS:redis.example")
    with redis_with_tls(tmp_path, client_certificates=False) as place:
        url = f"rediss://{place}?ssl_ca_certs={tmp_path}/agents.crt"
        assert "mismatch" in refused(url, caplog)
        use(f"{url}&ssl_check_hostname=false")


def test_tls_with_a_client_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that asks for a client's certificate gets the one that the address names."""
    make_certificate(tmp_path, "IP:127.0.0.1")
    with redis_with_tls(tmp_path, client_certificates=True) as place:
        url = f"rediss://{place}?ssl_ca_certs={tmp_path}/agents.crt"
        assert "Redis does not answer" in refused(url, caplog)
        own = f"ssl_certfile={tmp_path}/agents.crt&ssl_keyfile={tmp_path}/agents.key"
        use(f"{url}&{own}")
