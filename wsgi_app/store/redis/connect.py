"""What ``AGENT_REDIS_URL`` names, to run scripts: one server, a Sentinel's master, or a cluster."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Union, cast
from urllib.parse import urlsplit

from redis import ConnectionPool, Redis
from redis.backoff import ExponentialBackoff
from redis.client import PubSub
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    ConnectionError,  # noqa: A004 - redis-py's name
    NoScriptError,
    RedisError,
    TryAgainError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from wsgi_app.compat.python import zip_strict
from wsgi_app.compat.redis import maintenance_options, protocol_options, unix_socket_options
from wsgi_app.errors import ConfigError
from wsgi_app.store.redis.exchange import Connections, exchange
from wsgi_app.store.redis.scripts import Argument, Call
from wsgi_app.store.redis.url import BadOptionError, parse_hosts, server_options

#: The longest list of keys for one script, so that it does not hold up the server.
MAX_KEYS: Final = 500

#: Of so many names some are on each of a cluster's servers that has a fair share of the slots.
SPREAD: Final = 1000

Reply = Any
Outcome = Union[Reply, RedisError]


class Nodes(ABC):
    """The servers behind a URL. Touched by all threads; redis-py guards its pools.

    All methods raise RedisError or OSError.
    """

    #: Whether one server that does not answer means that none does.
    alone: bool

    @abstractmethod
    def run(self, call: Call) -> Reply:
        """Run one script."""

    @abstractmethod
    def run_many(self, calls: Sequence[Call]) -> list[Outcome]:
        """Run scripts in one round trip per server, in order; returns what each did or raised."""

    @abstractmethod
    def group(self, key: str, index: int) -> Hashable:
        """Name the script call that this key, the ``index``-th of a list, may share."""

    @abstractmethod
    def spread(self, name: str) -> list[str]:
        """Names of keys with this beginning, one on each server."""

    @abstractmethod
    def pubsub(self) -> PubSub:
        """A new subscriber with a connection of its own."""

    @abstractmethod
    def servers(self) -> list[Redis]:
        """A client of each server that holds keys."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


class OneNode(Nodes):
    """A single server, or what Sentinel names as the master."""

    alone = True

    def __init__(self, client: Redis) -> None:
        #: The scripts that the server is known to have; added to by all threads.
        self._client = client
        self._connections = Connections(client.connection_pool)
        self._known: set[str] = set()

    def is_of(self, client: Redis) -> bool:
        """Whether this is the client that it asks."""
        return self._client is client

    def run(self, call: Call) -> Reply:
        outcome = self.run_many([call])[0]
        if isinstance(outcome, RedisError):
            raise outcome
        return outcome

    def run_many(self, calls: Sequence[Call]) -> list[Outcome]:
        commands = [self._command(call) for call in calls]
        try:
            outcomes = exchange(self._connections, commands)
        except RedisError as error:
            return [error] * len(calls)
        self._known.update(call.script.sha for call in calls)
        if not any(isinstance(outcome, NoScriptError) for outcome in outcomes):
            return outcomes
        self._known.clear()  # the server has begun again
        return [
            self.run_many([call])[0] if isinstance(outcome, NoScriptError) else outcome
            for call, outcome in zip_strict(calls, outcomes)
        ]

    def _command(self, call: Call) -> tuple[Argument, ...]:
        is_known = call.script.sha in self._known
        # With its text: run again on its own, it would come behind later ones.
        name = ("EVALSHA", call.script.sha) if is_known else ("EVAL", call.script.text)
        return (*name, len(call.keys), *call.keys, *call.arguments)

    def group(self, key: str, index: int) -> Hashable:  # noqa: ARG002 - any keys go together
        return index // MAX_KEYS

    def spread(self, name: str) -> list[str]:
        return [name]

    def pubsub(self) -> PubSub:
        client: Any = self._client  # redis-py has no types for this
        return cast("PubSub", client.pubsub())

    def servers(self) -> list[Redis]:
        return [self._client]

    def close(self) -> None:
        self._client.close()
        self._connections.close()


class Cluster(Nodes):
    """A Redis Cluster. Its pipeline refuses EVALSHA, so that each node gets one of its own."""

    alone = False

    def __init__(self, client: RedisCluster) -> None:
        self._client: Any = client  # redis-py has types for few of its methods
        #: By name; a node that has moved is another. Set by all threads.
        self._nodes: dict[str, OneNode] = {}

    def run(self, call: Call) -> Reply:
        return _run(self._client, call)

    def run_many(self, calls: Sequence[Call]) -> list[Outcome]:
        indexes_by_node: defaultdict[str, list[int]] = defaultdict(list)
        for index, call in enumerate(calls):
            indexes_by_node[self._node_name(call)].append(index)
        outcomes: list[Outcome] = [None] * len(calls)
        for name, indexes in indexes_by_node.items():
            done = self._run_on(name, [calls[index] for index in indexes])
            for index, outcome in zip_strict(indexes, done):
                outcomes[index] = outcome
        return outcomes

    def _node_name(self, call: Call) -> str:
        return str(self._client.get_node_from_key(call.keys[0]).name)

    def _run_on(self, node_name: str, calls: Sequence[Call]) -> list[Outcome]:
        node = self._client.get_node(node_name=node_name)
        outcomes = self._one(node_name, self._client.get_redis_connection(node)).run_many(calls)
        for index, outcome in enumerate(outcomes):
            # The cluster's own client learns where the slot, or the node's successor, is now.
            if isinstance(outcome, (AskError, TryAgainError, ConnectionError)):
                outcomes[index] = again = _outcome(self.run, calls[index])
                if isinstance(again, RedisError):
                    break
        return outcomes

    def _one(self, name: str, client: Redis) -> OneNode:
        known = self._nodes.get(name)
        if known is None or not known.is_of(client):
            self._nodes[name] = known = OneNode(client)
        return known

    def group(self, key: str, index: int) -> Hashable:  # noqa: ARG002 - a slot has few sessions
        return key

    def spread(self, name: str) -> list[str]:
        found: dict[str, str] = {}
        count = len(self._client.get_primaries())
        for number in range(SPREAD):
            key = f"{name}:{number}"
            found.setdefault(self._client.get_node_from_key(key).name, key)
            if len(found) == count:
                break
        return list(found.values())

    def pubsub(self) -> PubSub:
        return cast("PubSub", self._client.pubsub())

    def servers(self) -> list[Redis]:
        return [self._client.get_redis_connection(node) for node in self._client.get_primaries()]

    def close(self) -> None:
        self._client.close()
        for node in self._client.get_nodes():
            if node.redis_connection is not None:
                node.redis_connection.connection_pool.disconnect()


def _run(client: Any, call: Call) -> Reply:
    operands = (len(call.keys), *call.keys, *call.arguments)
    try:
        return client.evalsha(call.script.sha, *operands)
    except NoScriptError:
        # The server has lost it, or never had it; from now on it has.
        return client.eval(call.script.text, *operands)


def _outcome(run: Callable[[Call], Reply], call: Call) -> Outcome:
    try:
        return run(call)
    except RedisError as error:
        return error


def connector(url: str, timeout_seconds: float) -> Callable[[], Nodes]:
    """Read a URL; returns what connects to it. Raises ConfigError for a bad one."""
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        **protocol_options(),
        **maintenance_options(),
        # A connection that the server closed in idleness is found out by use. What timed out has
        # had its time.
        "retry": Retry(ExponentialBackoff(cap=0.1, base=0.01), 1, (ConnectionError,)),
    }
    connectors = {"redis+sentinel": _sentinel, "redis+cluster": _cluster}
    try:
        return connectors.get(urlsplit(url).scheme, _single)(url, options)
    except BadOptionError as error:
        raise ConfigError(f"AGENT_REDIS_URL: {error}") from None
    except (ValueError, TypeError, AttributeError, RedisError):
        # Their texts may hold the password.
        raise ConfigError(
            "AGENT_REDIS_URL must be redis://, rediss://, unix://, "
            "redis+sentinel://host:port,host:port/service or redis+cluster://host:port"
        ) from None


def _single(url: str, options: dict[str, Any]) -> Callable[[], Nodes]:
    if urlsplit(url).scheme == "unix":
        options = unix_socket_options(options)
    options = {**options, **server_options(url)}

    def connect() -> Nodes:
        return OneNode(Redis(connection_pool=ConnectionPool(**options)))

    pool = ConnectionPool(**options)
    try:
        pool.connection_class(**pool.connection_kwargs)  # does not connect
    except TypeError:
        raise BadOptionError("the installed redis-py does not know one of its options") from None
    return connect


def _sentinel(url: str, options: dict[str, Any]) -> Callable[[], Nodes]:
    parts = parse_hosts(url, 26379)
    if not parts.path:
        raise ValueError("no service")

    def connect() -> Nodes:
        # The same user and password on both is what a URL can say.
        make_sentinel: Any = Sentinel  # redis-py has no types for it
        sentinel = make_sentinel(parts.hosts, sentinel_kwargs={**options, **parts.options})
        client = sentinel.master_for(
            parts.path,
            db=parts.db,
            **options,
            **parts.options,
        )
        return OneNode(client)

    return connect


def _cluster(url: str, options: dict[str, Any]) -> Callable[[], Nodes]:
    parts = parse_hosts(url, 6379)
    if parts.path or parts.db:
        raise ValueError("a cluster has no databases")
    startup = [functools.partial(ClusterNode, host, port) for host, port in parts.hosts]

    def connect() -> Nodes:
        client = RedisCluster(
            startup_nodes=[make() for make in startup],
            **options,
            **parts.options,
        )
        return Cluster(client)

    return connect
