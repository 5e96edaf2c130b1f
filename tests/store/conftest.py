"""The stores under test: what holds for one holds for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from tests.store.steps import MakeStore
from wsgi_app.store.base import Store, StoreLimits
from wsgi_app.store.memory import MemoryStore


@contextmanager
def memory() -> Iterator[MakeStore]:
    """Make stores in this process's memory."""
    yield MemoryStore


#: What starts a backend, once, and makes empty stores in it. A new backend is one more line.
BACKENDS: dict[str, Callable[[], AbstractContextManager[MakeStore]]] = {"memory": memory}


@pytest.fixture(scope="session", params=BACKENDS.values(), ids=list(BACKENDS))
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
