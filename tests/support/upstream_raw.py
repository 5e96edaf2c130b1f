"""A model provider that answers with any bytes at all, right or wrong, over a real socket."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's own is missing in Python 3.10

ACCEPT_SECONDS: Final = 0.2
SEND_SECONDS: Final = 10.0
READ_BYTES: Final = 65_536


class RawUpstream:
    """Answers one request on each connection with the next of ``answers``, then closes it.

    ``answers`` is filled by the test's thread and emptied by the server's. An answer comes in
    pieces, and stops when the client has closed; without an answer the connection just ends.
    """

    def __init__(self) -> None:
        self.answers: deque[Iterable[bytes]] = deque()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(ACCEPT_SECONDS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="raw-upstream", daemon=True)

    @property
    def url(self) -> str:
        """What ``base_url`` takes."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(SEND_SECONDS)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(SEND_SECONDS)
        with connection, suppress(OSError):
            _read_request(connection)
            for piece in self.answers.popleft() if self.answers else ():
                connection.sendall(piece)
            # Unread bytes would make the close a reset, which may overtake the answer.
            connection.shutdown(socket.SHUT_WR)
            while _receive(connection):
                pass


def _read_request(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    left = sum(lengths) - len(body)
    while left > 0:
        left -= len(_receive(connection))


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(READ_BYTES)
    if not received:
        raise ConnectionResetError
    return received
