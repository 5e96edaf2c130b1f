"""The Redis store while its server is away, silent, empty or full, and its signals then."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis as Client

from tests.store.steps import (
    KEY,
    OTHER,
    START,
    events,
    ids,
    request,
    start,
)
from tests.support.processes import free_port
from tests.support.servers import Redis, redis_server
from tests.support.waiting import wait_for
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.store.base import Fence, JournalWrite, Signal
from wsgi_app.store.redis import RedisStore

TIMEOUT_SECONDS = 0.5

ERROR = b'{"type":"error"}'


@pytest.fixture
def store(redis: Redis) -> Iterator[RedisStore]:
    """A store in a server of its own."""
    store = RedisStore(redis.url, timeout_seconds=TIMEOUT_SECONDS, start_thread=start_thread)
    yield store
    store.close()


@pytest.fixture
def client(redis: Redis) -> Iterator[Client]:
    """A client of the store's server."""
    with redis.client() as client:
        yield client


def answered(operation: Callable[[], object]) -> bool:
    """Whether the store is there."""
    try:
        operation()
    except StoreUnavailable:
        return False
    return True


def test_no_server_is_reported_in_time() -> None:
    """Without a server every operation says so within its limit, and starting needs none."""
    store = RedisStore(
        f"redis://127.0.0.1:{free_port()}",
        timeout_seconds=TIMEOUT_SECONDS,
        start_thread=start_thread,
    )
    store.listen(lambda _: None)
    for operation in (store.ping, store.lost_workers, lambda: store.read(KEY, START, 1)):
        began = time.monotonic()
        assert not answered(operation)
        assert time.monotonic() - began < 2 * TIMEOUT_SECONDS
    assert isinstance(store.write([JournalWrite(Fence(KEY, 1, "r"), 1, [])])[0], StoreUnavailable)
    store.close()


def test_silent_server_is_waited_for_once(store: RedisStore, redis: Redis) -> None:
    """Of many calls to a server that stands still the first waits, the others fail at once."""
    fence = start(store)
    redis.signal(signal.SIGSTOP)
    began = time.monotonic()
    assert not answered(lambda: store.append(fence, 1, events(1, 1)))
    assert time.monotonic() - began < 2 * TIMEOUT_SECONDS
    began = time.monotonic()
    for _ in range(20):
        assert not answered(lambda: store.append(fence, 1, events(1, 1)))
    assert time.monotonic() - began < TIMEOUT_SECONDS / 2
    redis.signal(signal.SIGCONT)
    wait_for(lambda: answered(lambda: store.append(fence, 1, events(1, 2))), "it is back")
    assert ids(store) == ["1-1", "1-2"]


def test_paused_server_is_not_waited_for(store: RedisStore, client: Client) -> None:
    """While clients are paused operations fail in time; afterwards nothing is doubled."""
    fence = start(store)
    client.client_pause(int(3000 * TIMEOUT_SECONDS))
    began = time.monotonic()
    assert not answered(lambda: store.append(fence, 1, events(1, 1)))
    assert time.monotonic() - began < 2 * TIMEOUT_SECONDS
    wait_for(lambda: answered(lambda: store.append(fence, 1, events(1, 1))), "it is back")
    assert ids(store) == ["1-1"]


def test_empty_server_gets_its_turn_back() -> None:
    """A server that was killed and comes back empty is used at once, and gets the turn again."""
    port = free_port()
    with redis_server(port=port) as server:
        store = RedisStore(server.url, timeout_seconds=TIMEOUT_SECONDS, start_thread=start_thread)
        fence = start(store)
        store.append(fence, 1, events(1, 3))
        server.kill()
        assert not answered(store.ping)
    with redis_server(port=port):
        wait_for(lambda: answered(store.ping), "it is back")
        assert store.append(fence, 4, events(4, 4)).last_seq == 0
        assert store.finish(fence, 1, events(1, 5), []) == 5
        assert [view.session_id for view in store.list_sessions("acme", 9, None).sessions] == [
            "s-1"
        ]
        store.close()


def test_full_server_refuses_writes_whole(store: RedisStore, client: Client) -> None:
    """Without memory nothing is written, not even in part; reads and what runs go on after it."""
    fence = start(store)
    client.config_set("maxmemory", "1")
    for operation in (
        lambda: store.append(fence, 1, events(1, 2)),
        lambda: store.finish(fence, 1, events(1, 2), []),
        lambda: store.begin_turn(request(OTHER)),
    ):
        assert not answered(operation)
    assert ids(store) == []
    client.config_set("maxmemory", "0")
    assert store.append(fence, 1, events(1, 2)).last_seq == 2
    end_of_turn = store.finish(fence, 3, events(3, 3), [])
    assert end_of_turn == 3
    assert start(store, OTHER).turn == 1


def test_fault_of_a_script_is_logged(
    store: RedisStore, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """What is our fault, and not the server's state, ends no worker and does not stay unseen."""
    fence = start(store)
    client.rpush("agent:{acme:s-1}:f", "not a sorted set")
    assert not answered(lambda: store.append(fence, 1, events(1, 1)))
    assert "A script failed in Redis" in caplog.text


def test_arbiter_marks_a_worker_lost(store: RedisStore, redis: Redis, client: Client) -> None:
    """A store of its own, without a thread, ends the turns of a worker that never beat."""
    fence = start(store, worker_id="dead")
    other = RedisStore(redis.url, timeout_seconds=TIMEOUT_SECONDS, start_thread=start_thread)
    assert other.mark_lost("dead", ERROR) == [fence]
    other.close()
    with pytest.raises(Fenced):
        store.append(fence, 1, events(1, 1))
    wait_for(lambda: len(client.client_list()) == 2, "the other store's connection is closed")


def test_listener_reconnects(store: RedisStore, client: Client) -> None:
    """A listener whose connection broke hears again, and is told that it may have missed some."""
    heard: list[Signal] = []
    resyncs: list[float] = []
    store.listen(heard.append, "worker", lambda: resyncs.append(time.monotonic()))
    start(store, worker_id="worker")
    assert resyncs == []
    client.client_kill_filter(_type="pubsub")
    wait_for(lambda: resyncs, "the listener is back")
    store.request_cancel(KEY, None, "user")
    wait_for(lambda: heard, "the signal")
    assert heard == [Signal("cancel", KEY, 1, "user")]


def test_late_listener_looks_around() -> None:
    """A listener that could not subscribe at first is told to look once it has."""
    port = free_port()
    store = RedisStore(
        f"redis://127.0.0.1:{port}", timeout_seconds=TIMEOUT_SECONDS, start_thread=start_thread
    )
    resyncs: list[float] = []
    store.listen(lambda _: None, "worker", lambda: resyncs.append(time.monotonic()))
    with redis_server(port=port):
        wait_for(lambda: resyncs, "the listener has subscribed")
        store.close()


def test_listener_that_raises_hears_the_next(store: RedisStore) -> None:
    """A fault of a listener does not end its thread."""
    heard: list[Signal] = []

    def listener(signal: Signal) -> None:
        heard.append(signal)
        raise ValueError

    store.listen(listener)
    start(store)
    store.request_cancel(KEY, None, "user")
    store.request_cancel(KEY, None, "user")
    wait_for(lambda: len(heard) == 2, "both signals")
