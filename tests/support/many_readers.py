"""Thousands of readers in one thread: each a socket, a request, and the bytes that came."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

#: So many requests are on their way at the same time.
WAVE = 64


class ManyReaders:
    """The bytes that each of many connections has got so far. Used by one thread."""

    def __init__(self, port: int) -> None:
        self.received: list[bytearray] = []
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._open: set[socket.socket] = set()

    def ask(self, paths: Sequence[str], headers: str, seconds: float) -> None:
        """Send a GET for each path, and wait until each has its answer's head."""
        for start in range(0, len(paths), WAVE):
            for path in paths[start : start + WAVE]:
                self._send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n\r\n")
            self.read_until(lambda body: b"\r\n\r\n" in body, seconds)

    def read_until(self, enough: Callable[[bytearray], bool], seconds: float) -> None:
        """Read until every connection has got ``enough``; raises AssertionError if it is late."""
        deadline = time.monotonic() + seconds
        missing = {number for number, body in enumerate(self.received) if not enough(body)}
        while missing:
            assert time.monotonic() < deadline, f"{len(missing)} readers wait in vain"
            for number in self._read():
                if enough(self.received[number]):
                    missing.discard(number)

    def wait_closed(self, seconds: float) -> None:
        """Wait until the server has ended every connection."""
        deadline = time.monotonic() + seconds
        while self._open:
            assert time.monotonic() < deadline, f"{len(self._open)} connections stay open"
            list(self._read())

    def close(self) -> None:
        """Hang up everywhere."""
        for connection in self._open:
            connection.close()
        self._selector.close()

    def _send(self, request: str) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        self._open.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, len(self.received))
        self.received.append(bytearray())
        connection.sendall(request.encode())

    def _read(self) -> Iterator[int]:
        for key, _ in self._selector.select(timeout=1):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            data = connection.recv(65_536)
            if not data:
                self._selector.unregister(connection)
                self._open.discard(connection)
                connection.close()
            self.received[key.data] += data
            yield key.data


@contextmanager
def many_readers(port: int) -> Iterator[ManyReaders]:
    """Readers that have hung up when the block ends."""
    made = ManyReaders(port)
    try:
        yield made
    finally:
        made.close()
