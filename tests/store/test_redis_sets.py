"""A Redis Cluster and a master with Sentinels: what goes on when a server does not."""

from __future__ import annotations

import time

import pytest

from tests.store.steps import KEY, OTHER, Signals, events, ids, request, start
from tests.support.redis_sets import RedisSet, redis_cluster, redis_sentinels
from tests.support.servers import Redis
from tests.support.waiting import wait_for
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.base import Appended, Fence, JournalWrite, SessionKey, Signal
from wsgi_app.store.redis import RedisStore

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 1.0


def replicated(servers: RedisSet, count: int) -> bool:
    """Whether the replica has the turn's events."""
    with servers.servers[1].client() as replica:
        return bool(replica.llen("agent:{acme:s-1}:t:1") == count)


def appended(store: RedisStore, fence: Fence, last: int) -> Appended | None:
    """Append from the start; None while there is no master."""
    try:
        return store.append(fence, 1, events(1, last))
    except StoreUnavailable:
        return None


def test_turn_goes_on_after_a_failover() -> None:
    """When the master dies in mid-turn, the promoted replica gets the rest; signals come again."""
    with redis_sentinels() as servers:
        store = RedisStore(servers.url, timeout_seconds=TIMEOUT_SECONDS, start_thread=start_thread)
        heard: list[Signal] = []
        resyncs: list[float] = []
        store.listen(heard.append, "worker", lambda: resyncs.append(time.monotonic()))
        fence = start(store, worker_id="worker")
        assert store.append(fence, 1, events(1, 3)).last_seq == 3
        wait_for(lambda: replicated(servers, 3), "the replica has them")
        servers.servers[0].kill()
        assert appended(store, fence, 3) is None
        wait_for(lambda: appended(store, fence, 5) is not None, "there is a master again", 60)
        assert ids(store) == [f"1-{seq}" for seq in range(1, 6)]
        wait_for(lambda: resyncs, "the listener is back", 30)
        store.request_cancel(KEY, None, "user")
        wait_for(lambda: heard == [Signal("cancel", KEY, 1, "user")], "the signal")
        assert store.finish(fence, 6, events(6, 6), []) == 6
        store.close()


def calls_by_server(servers: list[Redis]) -> list[int]:
    """How many scripts each server has run by name."""
    counts = []
    for server in servers:
        with server.client() as client:
            stats = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})
            counts.append(int(stats["calls"]))
    return counts


def test_cluster_shares_the_work() -> None:
    """Sessions spread over a cluster's nodes; a write of many turns is a command for each."""
    with redis_cluster() as servers:
        store = RedisStore(servers.url, timeout_seconds=10, start_thread=start_thread)
        orders = [request(SessionKey(f"t-{n}", "s")) for n in range(30)]
        fences = [Fence(o.key, store.begin_turn(o).turn, o.run_id) for o in orders]
        store.write([JournalWrite(fence, 1, events(1, 1)) for fence in fences])
        before = calls_by_server(list(servers.servers))
        answers = store.write([JournalWrite(fence, 2, events(2, 3)) for fence in fences])
        assert answers == [Appended(3, None)] * 30
        after = calls_by_server(list(servers.servers))
        done = [new - old for new, old in zip(after, before, strict=True)]
        assert sum(done) == 30
        assert min(done) > 0
        store.close()


def test_signals_cross_the_cluster() -> None:
    """A worker hears of every session, whichever node it and its own connection are on."""
    with redis_cluster() as servers:
        store = RedisStore(servers.url, timeout_seconds=10, start_thread=start_thread)
        keys = [SessionKey("acme", f"s-{number}") for number in range(12)]
        for key in keys:
            start(store, key)
        mine, everybodys = Signals(store, "worker"), Signals(store)
        expected = [Signal("cancel", key, 1, "user") for key in keys]
        for key in keys:
            store.request_cancel(key, None, "user")
        for signals in (mine, everybodys):
            wait_for(lambda: signals.has(*expected), "a signal of each session")  # noqa: B023 - called at once
            assert len(signals.heard) == len(expected)
        store.close()


def test_dead_node_takes_only_its_own_sessions_along() -> None:
    """With a node gone its sessions are unavailable; writes to the others go on beside them."""
    with redis_cluster() as servers:
        for server in servers.servers:
            with server.client() as client:
                client.config_set("cluster-require-full-coverage", "no")
        store = RedisStore(servers.url, timeout_seconds=TIMEOUT_SECONDS, start_thread=start_thread)
        fences = [start(store, SessionKey(f"t-{n}", "s")) for n in range(20)]
        with servers.servers[2].client() as client:
            dead_keys = {key.decode() for key in client.scan_iter(match="*:s}:s")}
        assert 0 < len(dead_keys) < 20
        servers.servers[2].kill()

        def only_those_fail() -> bool:
            answers = store.write([JournalWrite(fence, 1, events(1, 1)) for fence in fences])
            failed = {
                f"agent:{{{fence.key.tenant}:s}}:s"
                for fence, answer in zip(fences, answers, strict=True)
                if isinstance(answer, StoreUnavailable)
            }
            return failed == dead_keys

        wait_for(only_those_fail, "only the dead node's sessions fail", 30)
        store.close()


def test_lost_slot_cache_heals() -> None:
    """A session whose slot has moved to another node is found there, in a pipeline too."""
    with redis_cluster() as servers:
        store = RedisStore(servers.url, timeout_seconds=10, start_thread=start_thread)
        fences = [start(store, KEY), start(store, OTHER)]
        move_slot(servers, "acme:s-1")
        answers = store.write([JournalWrite(fence, 1, events(1, 1)) for fence in fences])
        assert answers == [Appended(1, None)] * 2
        assert ids(store) == ["1-1"]
        store.close()


def move_slot(servers: RedisSet, tag: str) -> None:
    """Move the slot of a tag, with all its keys, to another node."""
    nodes = {}
    for server in servers.servers:
        with server.client() as client:
            slot = client.execute_command("CLUSTER KEYSLOT", tag)
            myself = client.execute_command("CLUSTER MYID").decode()
            keys = client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
            nodes[myself] = (server, keys)
    source_id = next(name for name, (_, keys) in nodes.items() if keys)
    target_id = next(name for name in nodes if name != source_id)
    source, keys = nodes[source_id]
    target = nodes[target_id][0]
    with source.client() as old, target.client() as new:
        new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
        old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for server in servers.servers:
        with server.client() as client:
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", target_id)
