"""What differs between versions of redis-py, from 4.1.4 on."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any, Final

from redis import ConnectionPool, Redis
from redis.client import PubSub
from redis.connection import UnixDomainSocketConnection

try:
    from redis.maint_notifications import MaintNotificationsConfig
except ImportError:  # redis-py before 7.0
    MaintNotificationsConfig = None  # type: ignore[assignment,misc] # the lock has a newer one


RESP2: Final = 2


def protocol_options(protocol: int = RESP2) -> dict[str, Any]:
    """Choose the protocol: redis-py 8 takes RESP3 by itself, before 5.0 it knows RESP2 alone.

    Raises ValueError for RESP3 there.
    """
    if "protocol" in inspect.signature(Redis.__init__).parameters:
        return {"protocol": protocol}
    if protocol != RESP2:
        raise ValueError("protocol=3 needs redis-py 5.0 or newer")
    return {}


def maintenance_options() -> dict[str, Any]:
    """Switch off the maintenance notifications that redis-py 7.0 and later ask for in RESP3.

    A Redis of one's own sends none, and up to 8.0.0 no connection over a Unix socket can be made
    with them.
    """
    if MaintNotificationsConfig is None:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}


def unix_socket_options(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out the time limit of connecting, which redis-py before 4.6 has for TCP alone."""
    make_connection: Any = UnixDomainSocketConnection  # redis-py has no types for it
    try:
        make_connection(socket_connect_timeout=1.0)  # does not connect
    except TypeError:
        return {name: one for name, one in options.items() if name != "socket_connect_timeout"}
    return options


#: From 5.3 on a pool asks for no command's name, and warns of one.
_NAME: Final = (
    ("EVALSHA",)
    if inspect.signature(ConnectionPool.get_connection).parameters["command_name"].default
    is inspect.Parameter.empty
    else ()
)


def get_connection(pool: ConnectionPool) -> Any:
    """Take a connection out of a pool, to be returned with ``pool.release``."""
    take: Any = pool.get_connection  # redis-py has no types for it
    return take(*_NAME)


def disconnect(pubsub: PubSub) -> None:
    """Wake the thread that reads from a subscriber.

    In redis-py before 4.6 that thread may have closed the socket before the call does.
    """
    if pubsub.connection is not None:
        with suppress(AttributeError):
            pubsub.connection.disconnect()
