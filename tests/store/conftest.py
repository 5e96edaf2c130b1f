"""The stores under test: what holds for one holds for all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from tests.store.steps import MakeStore
from tests.support.redis_sets import redis_cluster
from tests.support.servers import redis_server
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.store.base import Store, StoreLimits
from wsgi_app.store.memory import MemoryStore
from wsgi_app.store.redis import RedisStore
from wsgi_app.store.redis.keys import Keys
from wsgi_app.store.redis.rights import acl_rule


@contextmanager
def memory() -> Iterator[MakeStore]:
    """Make stores in this process's memory."""
    yield MemoryStore


#: Which protocol the store shall talk, for a row of `make test-stores`; its own choice by default.
PROTOCOL = os.environ.get("TEST_REDIS_PROTOCOL")


@contextmanager
def redis() -> Iterator[MakeStore]:
    """Make stores in a redis-server of their own, as a user with the smallest rights."""
    # With the rights to all channels, for the listeners of all workers that some tests have.
    user = f"agents on >secret {acl_rule(Keys(''))} +psubscribe allchannels"
    with (
        redis_server(unix_socket=True, args=["--user", *user.split()]) as server,
        server.client() as client,
    ):
        url = server.url.replace("unix://", "unix://agents:secret@")
        url += f"?protocol={PROTOCOL}" if PROTOCOL else ""

        def make(limits: StoreLimits) -> Store:
            client.flushdb()
            return RedisStore(url, limits, timeout_seconds=10, start_thread=start_thread)

        yield make


@contextmanager
def cluster() -> Iterator[MakeStore]:
    """Make stores in a Redis Cluster of their own."""
    with redis_cluster() as servers:

        def make(limits: StoreLimits) -> Store:
            servers.flush()
            return RedisStore(servers.url, limits, timeout_seconds=10, start_thread=start_thread)

        yield make


#: What starts a backend, once, and makes empty stores in it. A new backend is one more line.
BACKENDS: dict[str, Callable[[], AbstractContextManager[MakeStore]]] = {
    "memory": memory,
    "redis": redis,
    "cluster": cluster,
}
#: Those whose place is in the full run.
SLOW = {"cluster"}


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(start, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, start in BACKENDS.items()
    ],
)
def backend(request: pytest.FixtureRequest) -> Iterator[MakeStore]:
    """Each backend in turn."""
    with request.param() as make_store:
        yield make_store


@pytest.fixture
def make_store(backend: MakeStore) -> Iterator[MakeStore]:
    """Make empty stores with given limits, which the test's end closes."""
    with ExitStack() as stack:

        def make(limits: StoreLimits) -> Store:
            store = backend(limits)
            stack.callback(store.close)
            return store

        yield make


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    """An empty store with the default limits."""
    return make_store(StoreLimits())
