"""What a user of Redis must be allowed to do, and what a refusal means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.redis.keys import Keys

#: All commands of the store: those of its scripts, to run them, to listen, and to look after it.
COMMANDS: Final = (
    *("decr", "del", "exists", "get", "incr", "pexpire", "pttl", "rename", "set", "setnx"),
    *("hdel", "hget", "hincrby", "hmget", "hset"),
    *("llen", "lpop", "lrange", "ltrim", "rpop", "rpush"),
    *("zadd", "zcard", "zrange", "zrangebyscore", "zrem", "zremrangebyrank"),
    *("zremrangebyscore", "zrevrange", "zrevrangebyscore", "zscore"),
    *("eval", "evalsha", "publish", "subscribe", "unsubscribe", "time", "info", "ping"),
)
#: How a refusal begins, or is reported of a script in Redis 6, and its word in a reason.
_WORDS: Final = {
    "NOPERM": "NOPERM",
    "permission": "NOPERM",
    "user executing the script can't": "NOPERM",
    "OOM": "OOM",
    "maxmemory": "OOM",
    "READONLY": "READONLY",
    "read only replica": "READONLY",
    "NOREPLICAS": "NOREPLICAS",
    "MISCONF": "MISCONF",
}
_CAUSES: Final = {
    "OOM": "its memory is full (maxmemory)",
    "READONLY": "it is a replica",
    "NOREPLICAS": "it has too few replicas (min-replicas-to-write)",
    "MISCONF": "it cannot save its data (stop-writes-on-bgsave-error)",
}


def refusal_code(error: Exception) -> str:
    """Why Redis refuses, as a word; '' for what is no refusal of a right or a write."""
    text = f"{type(error).__name__} {error}"
    if type(error).__name__ == "NoPermissionError":
        return "NOPERM"
    return next((code for word, code in _WORDS.items() if word in text), "")


def acl_rule(keys: Keys) -> str:
    """The smallest rights, as ``ACL SETUSER`` takes them."""
    commands = " ".join(f"+{name}" for name in COMMANDS)
    # Redis 6.2 allows a new user all channels, and accepts no pattern beside them.
    return f"~{keys.pattern} resetchannels &{keys.pattern} {commands}"


def explain(code: str, keys: Keys) -> str:
    """What to do about a refusal."""
    if code == "NOPERM":
        return f"Redis's user lacks a right (NOPERM). ACL SETUSER <user> {acl_rule(keys)}"
    return f"Redis refuses writes: {_CAUSES[code]} ({code})"


@contextmanager
def explained(keys: Keys) -> Iterator[None]:
    """Turn the code of a StoreUnavailable into what to do about it."""
    try:
        yield
    except StoreUnavailable as error:
        if not error.reason:
            raise
        raise StoreUnavailable(explain(error.reason, keys)) from error
