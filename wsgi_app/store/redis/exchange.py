"""Commands to one server and their replies, in one round trip."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from redis import ConnectionPool
from redis.exceptions import ResponseError

from wsgi_app.compat.redis import get_connection
from wsgi_app.store.redis.scripts import Argument

#: A connection that has just answered needs no look whether its server has closed it: use shows.
FRESH_SECONDS: Final = 1.0


class Connections:
    """A pool's connections, of which one that has just been used is taken again at once.

    The pool's own way looks at the socket each time (two calls of the system and a read that finds
    nothing), and counts: as much as the exchange itself (measured, redis-py 8). Used by all
    threads; a list's ends need no lock. Who uses them bounds how many there are.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._recent: list[tuple[Any, float]] = []

    def take(self) -> Any:
        """Take one, to be returned or dropped; raises RedisError."""
        try:
            connection, used_at = self._recent.pop()
        except IndexError:
            return get_connection(self._pool)
        if time.monotonic() - used_at < FRESH_SECONDS:
            return connection
        self._pool.release(connection)
        return get_connection(self._pool)

    def give_back(self, connection: Any) -> None:
        """Return a connection with no unread replies."""
        self._recent.append((connection, time.monotonic()))

    def drop(self, connection: Any) -> None:
        """Return a connection, closed: replies that no caller wants may be under way to it."""
        connection.disconnect()
        self._pool.release(connection)

    def close(self) -> None:
        """Close all; the next use opens new ones."""
        while self._recent:
            self._pool.release(self._recent.pop()[0])
        self._pool.disconnect()


def exchange(connections: Connections, commands: Sequence[Sequence[Argument]]) -> list[Any]:
    """Send commands and read each one's reply, or the ResponseError that it came to.

    What redis-py's pipeline does with a pool's connection, without its options, callbacks and
    measurements: half of the time that a script took (measured, redis-py 8). Raises RedisError and
    OSError for a connection that fails, after the one try more that its `Retry` allows.
    """
    packed = b"".join(map(_pack, commands))
    connection = connections.take()

    def send_and_read() -> list[Any]:
        connection.send_packed_command([packed])
        return [_read_reply(connection) for _ in commands]

    try:
        replies = connection.retry.call_with_retry(send_and_read, lambda _: connection.disconnect())
    except BaseException:
        connections.drop(connection)
        raise
    connections.give_back(connection)
    return list(replies)


def _read_reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _pack(command: Sequence[Argument]) -> bytes:
    """Write a command as the protocol has it: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)
