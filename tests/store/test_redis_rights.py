"""What a user of Redis may do, and a server that takes no writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.steps import KEY, end, start
from tests.support.processes import ROOT
from tests.support.servers import Redis, redis_server
from tests.support.waiting import wait_for
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.base import Signal
from wsgi_app.store.redis import RedisStore
from wsgi_app.store.redis.keys import Keys
from wsgi_app.store.redis.rights import COMMANDS, acl_rule

NAMESPACE = "shop/agents"
RULE = acl_rule(Keys(NAMESPACE))


@pytest.fixture
def admin(redis: Redis) -> Iterator[Any]:
    """A client that may do all."""
    with redis.client() as client:
        yield client


@pytest.fixture
def limited(redis: Redis, admin: Any) -> Iterator[Callable[..., RedisStore]]:
    """Make stores of a user with this rule."""
    stores: list[RedisStore] = []

    def make(rule: str, timeout_seconds: float = 10) -> RedisStore:
        admin.execute_command("ACL", "SETUSER", "agents", "on", ">secret", *rule.split())
        url = f"redis://agents:secret@127.0.0.1:{redis.port}"
        store = RedisStore(
            url,
            namespace=NAMESPACE,
            timeout_seconds=timeout_seconds,
            start_thread=start_thread,
        )
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


def reason_of(operation: Callable[[], object]) -> str:
    """Why the store is not to be had."""
    with pytest.raises(StoreUnavailable) as caught:
        operation()
    return caught.value.reason


def test_the_smallest_rights_are_enough(limited: Callable[[str], RedisStore]) -> None:
    """A user with the documented rule runs turns and hears signals; nothing is warned of.

    All tests of the store run as such a user too, see ``conftest.py``.
    """
    store = limited(RULE)
    store.ping()
    store.check_listening()
    heard: list[Signal] = []
    store.listen(heard.append, "worker")
    fence = start(store, worker_id="worker")
    store.request_cancel(KEY, None, "user")
    wait_for(lambda: heard == [Signal("cancel", KEY, 1, "user")], "the signal")
    end(store, fence)
    assert store.warnings() == []


@pytest.mark.parametrize("name", ["eval", "publish", "set", "subscribe"])
def test_no_right_is_given_in_vain(limited: Callable[[str], RedisStore], name: str) -> None:
    """Without one of the commands that it tries, the store names the rule."""
    store = limited(re.sub(rf" \+{name}\b", "", RULE))

    def check() -> None:
        store.ping()
        store.check_listening()

    assert RULE in reason_of(check)


def test_a_user_without_channels(limited: Callable[..., RedisStore]) -> None:
    """``~* +@all`` alone, which is no right to any channel, is named with the rule to add."""
    store = limited("~* +@all resetchannels", timeout_seconds=1)  # for which it waits to listen
    assert f"&{Keys(NAMESPACE).pattern}" in reason_of(store.ping)
    assert RULE in reason_of(store.check_listening)
    store.listen(lambda _: None, "worker")
    wait_for(lambda: any(RULE in warning for warning in store.warnings()), "the warning")


def test_a_user_of_another_namespace(limited: Callable[[str], RedisStore]) -> None:
    """A host's user cannot write to another host's names."""
    store = limited(acl_rule(Keys("staff")))
    assert "NOPERM" in reason_of(store.ping)


def test_a_user_without_info(limited: Callable[[str], RedisStore]) -> None:
    """Who may not ask for the server's state works without the warnings."""
    store = limited(RULE.replace(" +info", ""))
    store.ping()
    assert store.warnings() == []


def test_the_rule_is_documented() -> None:
    """The page about stores has the rule, for a namespace of its own."""
    text = (ROOT / "docs" / "stores.md").read_text()
    assert acl_rule(Keys("shop.site/agents")) in text


def test_every_command_of_a_script_is_in_the_rule() -> None:
    """What the scripts call, and nothing else of the data commands, may be called."""
    folder = ROOT / "wsgi_app" / "store" / "redis" / "lua"
    texts = "".join(path.read_text() for path in folder.glob("*.lua"))
    called = {name.lower() for name in re.findall(r"redis\.call\('([A-Z]+)'", texts)}
    others = {"eval", "evalsha", "subscribe", "unsubscribe", "info", "ping"}
    assert called | others == set(COMMANDS)


def test_a_full_server_is_not_ready(redis: Redis, admin: Any) -> None:
    """A server without memory for writes is not taken for one that works, until it is one."""
    store = RedisStore(redis.url, timeout_seconds=10)
    store.ping()
    admin.config_set("maxmemory", "1")
    assert "OOM" in reason_of(store.ping)
    admin.config_set("maxmemory", "0")
    store.ping()
    store.close()


def test_a_replica_is_not_ready(redis: Redis, admin: Any) -> None:
    """A server that was made a replica takes no writes."""
    with redis_server() as master:
        store = RedisStore(redis.url, timeout_seconds=10)
        admin.execute_command("REPLICAOF", "127.0.0.1", str(master.port))
        assert "READONLY" in reason_of(store.ping)
        store.close()


def test_a_server_that_cannot_save_is_not_ready(redis: Redis, admin: Any) -> None:
    """A server whose snapshots fail refuses writes, and is said to."""
    folder = Path(admin.config_get("dir")["dir"])
    (folder / "dump.rdb").mkdir()
    admin.config_set("save", "3600 1")
    admin.bgsave()
    wait_for(lambda: admin.info()["rdb_last_bgsave_status"] == "err", "the snapshot fails")
    store = RedisStore(redis.url, timeout_seconds=10)
    assert "MISCONF" in reason_of(store.ping)
    store.close()
    admin.config_set("save", "")  # else it does not end
