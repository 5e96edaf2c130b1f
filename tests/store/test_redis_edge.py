"""Many threads at the edge to Redis at one instant."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis as Client

from tests.support.servers import Redis
from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.redis.edge import MAX_CALLS, MAX_WAIT_SECONDS, Edge

TIMEOUT_SECONDS = 1.5
#: Of one call, which the server holds back without holding up others.
CALL_SECONDS = 0.4
THREADS = 6 * MAX_CALLS  # the last waits for five calls


def hold(server: Client) -> None:
    """A call that takes `CALL_SECONDS`."""
    assert server.blpop(["nothing-comes"], timeout=CALL_SECONDS) is None


def test_a_burst_is_no_outage(redis: Redis) -> None:
    """A call that waits for a place longer than it may take gets one: Redis answers, after all."""
    edge = Edge(redis.url, TIMEOUT_SECONDS)
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [pool.submit(edge.ask_servers, hold) for _ in range(THREADS)]
        assert [call.result() for call in calls] == [[None]] * THREADS
    edge.close()


def test_nobody_waits_for_a_place_in_an_outage(redis: Redis) -> None:
    """Once those with a place have given up, all who wait for one do, long before their limit."""
    edge = Edge(redis.url, TIMEOUT_SECONDS)
    edge.ask_servers(lambda server: server.ping())
    redis.signal(signal.SIGSTOP)
    began_at = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [pool.submit(edge.ask_servers, hold) for _ in range(THREADS)]
        for call in calls:
            with pytest.raises(StoreUnavailable):
                call.result()
    assert time.monotonic() - began_at < MAX_WAIT_SECONDS
    redis.signal(signal.SIGCONT)
    edge.close()
