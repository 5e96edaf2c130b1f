"""What only the Redis store has: keys, scripts, what they cost, and settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis as Client
from redis.crc import key_slot

from tests.store.steps import (
    KEY,
    OTHER,
    enqueue,
    events,
    ids,
    refused,
    request,
    run_turn,
    start,
)
from tests.support.servers import Redis
from tests.support.waiting import wait_for
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import ConfigError, RequestError
from wsgi_app.store.base import Appended, Fence, JournalWrite, SessionKey, StoreLimits
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
