"""What only the Redis store has: scripts, keys, outages, reconnects, addresses."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis as Client
from redis.crc import key_slot

from tests.store.steps import (
    KEY,
    OTHER,
    START,
    end,
    enqueue,
    events,
    ids,
    refused,
    request,
    run_turn,
    start,
)
from tests.support.processes import free_port
from tests.support.servers import Redis, redis_server
from tests.support.waiting import wait_for
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import ConfigError, Fenced, RequestError, StoreUnavailable
from wsgi_app.store.base import Appended, Fence, JournalWrite, SessionKey, Signal, StoreLimits
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


def use_everything(store: RedisStore) -> None:
    """Leave behind every kind of key that there is."""
    store.heartbeat("worker", [])
    for name in ("s-1", "s-2", "s-3"):
        key = SessionKey("acme", name)
        run_turn(store, key, 3, "hi")
        store.begin_turn(request(key, idempotency_key="k"))
        waiting = enqueue(store, key)
        store.follow("follower", key)
        store.heartbeat("worker", [waiting], [key])
    store.delete_session(OTHER)
    store.mark_lost("worker", ERROR)
    fence = start(store)
    store.append(fence, 1, events(1, 2))
    store.open_input(fence, "q")
    store.append(Fence(SessionKey("acme", "lost"), 7, "run"), 1, events(1, 2))
    store.heartbeat("worker", [fence])


# -- keys and scripts


def test_every_key_expires(store: RedisStore, client: Client) -> None:
    """Whatever is written goes by itself, at last a while after the session's lifetime."""
    use_everything(store)
    limit = 1.2 * StoreLimits().session_ttl_seconds
    keys = list(client.scan_iter())
    assert len(keys) > 10
    for key in keys:
        assert 0 < client.ttl(key) <= limit, key


def test_every_key_is_gone_after_its_time(redis: Redis, client: Client) -> None:
    """Nothing is left over of sessions that expire."""
    limits = StoreLimits(session_ttl_seconds=0.3, lease_seconds=0.1)
    store = RedisStore(redis.url, limits)
    use_everything(store)
    wait_for(lambda: not list(client.scan_iter()), "all keys have expired")
    store.close()


def test_keys_of_a_session_share_a_slot(store: RedisStore, client: Client) -> None:
    """All keys of a session are in one slot of a cluster, those of two sessions are in two."""
    use_everything(store)
    slots = {
        name: {key_slot(key) for key in client.scan_iter(match=f"*{name}*")}
        for name in ("s-1", "s-3")
    }
    assert [len(found) for found in slots.values()] == [1, 1]
    assert slots["s-1"] != slots["s-3"]


def test_all_keys_begin_alike(store: RedisStore, client: Client) -> None:
    """The store's keys can be told from everybody else's in the same database."""
    use_everything(store)
    assert {key.split(b":")[0] for key in client.scan_iter()} == {b"agent"}


def test_lost_scripts_come_back(store: RedisStore, client: Client) -> None:
    """When the server has lost the scripts every operation works as before, many at once too."""
    fence, other = start(store), start(store, OTHER)
    store.append(fence, 1, events(1, 1))
    client.script_flush()
    assert store.append(fence, 2, events(2, 2)).last_seq == 2
    client.script_flush()
    writes = [JournalWrite(fence, 3, events(3, 3)), JournalWrite(other, 1, events(1, 1))]
    assert store.write(writes) == [Appended(3, None), Appended(1, None)]
    assert ids(store) == ["1-1", "1-2", "1-3"]


def test_scripts_are_sent_once(store: RedisStore, client: Client) -> None:
    """A script's text goes to the server once, from then on its name."""
    fence = start(store)
    store.append(fence, 1, events(1, 1))
    sent = calls(client, "eval")
    for number in range(2, 12):
        store.append(fence, number, events(number, number))
    assert calls(client, "eval") == sent


# -- costs


def calls(client: Client, name: str) -> int:
    """How often the server has done a command."""
    counted = client.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})
    return int(counted["calls"])


def test_write_costs_one_command_a_turn(store: RedisStore, client: Client) -> None:
    """A round of the journal is a command for each turn; the end of one a few more."""
    fences = [start(store, SessionKey("acme", f"w-{number}")) for number in range(10)]
    store.write([JournalWrite(fence, 1, events(1, 5)) for fence in fences])
    before = calls(client, "evalsha")
    store.write([JournalWrite(fence, 6, events(6, 9)) for fence in fences])
    assert calls(client, "evalsha") - before == 10


def test_heartbeat_costs_few_commands(store: RedisStore, client: Client) -> None:
    """A heartbeat is the same few commands however many turns there are."""
    fences = [start(store, SessionKey("acme", f"h-{number}")) for number in range(20)]
    store.heartbeat("worker", fences)
    before = calls(client, "evalsha")
    store.heartbeat("worker", fences, [KEY, OTHER])
    assert calls(client, "evalsha") - before == 3
    before = calls(client, "evalsha")
    store.heartbeat("worker", [])
    assert calls(client, "evalsha") - before == 1


def test_refused_turn_gives_its_place_back(redis: Redis) -> None:
    """A request that the session refuses takes no place of its tenant's."""
    store = RedisStore(redis.url, StoreLimits(max_turns_per_tenant=2))
    start(store)
    for _ in range(5):
        with refused("session_busy"):
            store.begin_turn(request())
    start(store, OTHER)
    store.close()


def test_places_of_dead_workers_come_back(redis: Redis) -> None:
    """A tenant's place is a lease: nobody has to give it back."""
    store = RedisStore(redis.url, StoreLimits(max_turns_per_tenant=1, lease_seconds=0.3))
    fence = start(store)
    store.heartbeat("worker", [fence])
    with refused("too_many_turns"):
        store.begin_turn(request(OTHER))
    wait_for(lambda: _begins(store), "the lease is over")
    store.close()


def _begins(store: RedisStore) -> bool:
    try:
        return store.begin_turn(request(OTHER)).state == "started"
    except RequestError:
        return False


def test_long_lists_fit(redis: Redis) -> None:
    """Thousands of events and messages go in and come out at once."""
    store = RedisStore(redis.url, timeout_seconds=10, start_thread=start_thread)
    fence = start(store)
    messages = [{"role": "assistant", "content": str(number)} for number in range(20_000)]
    assert store.finish(fence, 1, events(1, 20_000), messages) == 20_000
    assert len(ids(store)) == 20_000
    assert len(store.begin_turn(request()).history) == 20_001
    store.close()


# -- outages


def test_no_server_is_told_in_time() -> None:
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


# -- signals


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
    end(store, start(store))
    end(store, start(store))
    wait_for(lambda: len(heard) == 2, "both signals")


# -- settings


def test_eviction_is_reported(store: RedisStore, client: Client) -> None:
    """A server that may drop keys of its own will works, with a warning."""
    assert store.warnings() == []
    client.config_set("maxmemory-policy", "allkeys-lru")
    assert "allkeys-lru" in store.warnings()[0]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "secret",
        "http://u:secret@127.0.0.1",
        "redis://u:secret@127.0.0.1:port",
        "redis://:secret@127.0.0.1/name",
        "redis://:secret@127.0.0.1/?nonsense=1",
        "redis://:secret@127.0.0.1/?decode_responses=1",
        "redis://:secret@127.0.0.1/?retry=1",
        "redis://:secret@127.0.0.1/?protocol=4",
        "redis://:secret@127.0.0.1/?ssl_cert_reqs=none",
        "rediss://:secret@127.0.0.1/?ssl_ca_certs=/nowhere/secret.pem",
        "rediss://:secret@127.0.0.1/?ssl_cert_reqs=nonsense",
        "unix://",
        "redis+sentinel://u:secret@127.0.0.1",
        "redis+sentinel://u:secret@:26379/agents",
        "redis+sentinel://u:secret@127.0.0.1/agents?db=x",
        "redis+cluster://u:secret@127.0.0.1/3",
        "redis+cluster://u:secret@[::1",
    ],
)
def test_bad_address_is_a_config_error(url: str) -> None:
    """A bad address names its setting when the store is made, and keeps the password to itself."""
    with pytest.raises(ConfigError, match="AGENT_REDIS_URL") as caught:
        RedisStore(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://127.0.0.1",
        "redis://user:pass%40word@[::1]:6379/2",
        "rediss://127.0.0.1:6380/0?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://a,b:26380/agents?db=2",
        "redis+cluster://user:password@a:7000,b:7001",
    ],
)
def test_making_a_store_does_not_connect(url: str) -> None:
    """A good address is taken without asking any server."""
    RedisStore(url).close()
