"""Several redis-servers that act as one: a cluster, and a master with its Sentinels."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tests.support.processes import find_program, free_port, started, temporary_folder
from tests.support.servers import Redis, redis_program, redis_server
from tests.support.waiting import wait_for

NODES = 3
#: A node also listens 10,000 above its port, where no outgoing connection may have been first.
HIGHEST_PORT = 22_000
#: What Sentinel calls the master and its replica.
SERVICE = "agents"
#: After this a silent server counts as down.
DOWN_MILLISECONDS = 1000


class RedisSet(NamedTuple):
    """Servers behind one ``url``, which ``AGENT_REDIS_URL`` takes."""

    url: str
    servers: Sequence[Redis]

    def flush(self) -> None:
        """Empty all servers."""
        for server in self.servers:
            with server.client() as client:
                client.flushdb()


@contextmanager
def redis_cluster() -> Iterator[RedisSet]:
    """Run an empty Redis Cluster of three nodes without replicas."""
    options = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
    with ExitStack() as stack:
        ports = [free_port(HIGHEST_PORT) for _ in range(NODES)]
        servers = [stack.enter_context(redis_server(port=port, args=options)) for port in ports]
        places = [f"127.0.0.1:{server.port}" for server in servers]
        program = find_program("redis-cli", "redis-tools")
        command = [program, "--cluster", "create", *places, "--cluster-yes"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        for server in servers:
            wait_for(lambda: _cluster_is_ok(server), f"node {server.port} sees all slots", 30)  # noqa: B023 - called at once
        for server in servers:
            wait_for(lambda: _hears_all(server, servers), f"node {server.port} hears all", 30)  # noqa: B023 - called at once
        yield RedisSet(f"redis+cluster://{','.join(places)}", servers)


def _cluster_is_ok(server: Redis) -> bool:
    with server.client() as client:
        info = client.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok")


def _hears_all(server: Redis, servers: Sequence[Redis]) -> bool:
    """Whether a message reaches this node from each, which takes longer than to know the slots."""
    with server.client() as client, client.pubsub() as pubsub:
        pubsub.subscribe("hears")
        pubsub.get_message(timeout=1)
        for place, other in enumerate(servers):
            with other.client() as publisher:
                publisher.publish("hears", str(place))
        heard = [pubsub.get_message(timeout=0.5) for _ in servers]
    return None not in heard


@contextmanager
def redis_sentinels() -> Iterator[RedisSet]:
    """Run a master, its replica (in this order), and three Sentinels that watch over them."""
    with ExitStack() as stack:
        master = stack.enter_context(redis_server())
        replica = stack.enter_context(
            redis_server(args=["--replicaof", "127.0.0.1", str(master.port)])
        )
        ports = [stack.enter_context(_sentinel(master.port)) for _ in range(NODES)]
        for port in ports:
            wait_for(lambda: _knows_the_others(port), f"Sentinel {port} knows the set", 60)  # noqa: B023 - called at once
        places = ",".join(f"127.0.0.1:{port}" for port in ports)
        yield RedisSet(f"redis+sentinel://{places}/{SERVICE}", [master, replica])


@contextmanager
def _sentinel(master_port: int) -> Iterator[int]:
    """Run a Sentinel; yields its port."""
    port = free_port()
    with temporary_folder() as folder:
        config = folder / "sentinel.conf"  # it writes there what it learns
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MILLISECONDS}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )
        command = [redis_program(), str(config), "--sentinel"]
        with started(command) as process:
            process.wait_until(lambda: "+monitor" in process.log())
            yield port


def _knows_the_others(port: int) -> bool:
    """Whether this Sentinel could bring about a failover."""
    command = [find_program("redis-cli", "redis-tools"), "-p", str(port)]
    command += ["sentinel", "master", SERVICE]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    words = shown.stdout.split()
    facts = dict(zip(words[::2], words[1::2], strict=False))
    return facts["num-slaves"] == "1" and facts["num-other-sentinels"] == str(NODES - 1)
