"""The store's list of workers, as an operator sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.service import NAMESPACE, SETTINGS, THREADS, WORKERS, Service, service
from tests.support.waiting import wait_for
from wsgi_app.delivery.slots import default_slots
from wsgi_app.store.base import StoreLimits, WorkerView
from wsgi_app.store.redis import RedisStore

LEASE_SECONDS = 2


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """One gunicorn of two workers."""
    env = {**SETTINGS, "AGENT_LEASE_SECONDS": str(LEASE_SECONDS)}
    with service(hosts=1, env=env) as running:
        yield running


@pytest.fixture(scope="module")
def store(shared: Service) -> Iterator[RedisStore]:
    """The same Redis, seen from outside."""
    limits = StoreLimits(lease_seconds=LEASE_SECONDS)
    store = RedisStore(shared.store.url, limits, namespace=NAMESPACE)
    yield store
    store.close()


def test_idle_workers_are_listed(shared: Service, store: RedisStore) -> None:
    """With gunicorn's hooks every worker is there before it has had a request."""
    [host] = shared.hosts

    def listed() -> list[WorkerView]:
        found = store.workers()
        return found if len(found) == WORKERS else []

    found = wait_for(listed, "all workers have signed on")
    assert sorted(view.info.pid for view in found) == host.worker_pids()
    for view in found:
        assert (view.info.turns, view.info.slots_used) == (0, 0)
        assert view.info.slots == default_slots(THREADS)
        assert 0 < view.info.started_at <= view.info.sent_at


def test_busy_worker_reports_its_turns_and_slots(shared: Service, store: RedisStore) -> None:
    """The worker that runs a turn counts it, and the slot that its reader takes."""
    with shared.client.chat("busy", {"hold": True}) as stream:
        stream.wait_comments(1)

        def busy() -> list[tuple[int, int]]:
            counts = [(view.info.turns, view.info.slots_used) for view in store.workers()]
            return sorted(counts) if (1, 1) in counts else []

        assert wait_for(busy, "a heartbeat tells of the turn") == [(0, 0), (1, 1)]
