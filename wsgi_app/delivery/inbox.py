"""A WebSocket's input, bounded where it is buffered: in the library's own thread."""

from __future__ import annotations

import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, SupportsIndex

from simple_websocket import Server
from wsproto.events import CloseConnection

from wsgi_app.delivery.disconnect import Watch

#: Messages that wait to be read; more than a client that waits for answers ever sends.
MAX_WAITING_MESSAGES: Final = 100
#: RFC 6455, section 7.4.1.
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009
#: How long a client may take to read why it is disconnected.
LINGER_SECONDS: Final = 0.5


class Inbox(list[Any]):
    """The messages that wait, which the library appends and the request's thread pops.

    ``_lock`` guards the count of their bytes. More than fits ends the connection.
    """

    def __init__(self, max_bytes: int, give_up: Callable[[int], None]) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._give_up = give_up
        self._lock = threading.Lock()
        self._bytes = 0

    def append(self, message: Any) -> None:
        """Add a message; raises ConnectionAbortedError, which ends the library's thread."""
        size = sys.getsizeof(message)
        with self._lock:
            too_many = len(self) >= MAX_WAITING_MESSAGES
            if not too_many and not (self and self._bytes + size > self._max_bytes):
                self._bytes += size
                super().append(message)
                return
        self._give_up(POLICY_VIOLATION if too_many else MESSAGE_TOO_BIG)
        raise ConnectionAbortedError("too much input waits")

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Return a message, which no longer waits."""
        with self._lock:
            message = super().pop(index)
            self._bytes -= sys.getsizeof(message)
            return message


class BoundedServer(Server):  # type: ignore[misc] # the library has no types
    """The library's server with an `Inbox` as its buffer of input."""

    _inbox: Inbox

    @property
    def input_buffer(self) -> Inbox:
        """What the library appends to and pops from."""
        return self._inbox

    @input_buffer.setter
    def input_buffer(self, _: list[Any]) -> None:
        # The library sets its list once, in its constructor, before it reads.
        self._inbox = Inbox(self.max_message_size, self._give_up)

    def _give_up(self, code: int) -> None:
        """Send the reason, if that needs no wait: a client that reads nothing sees only the cut."""
        self.connected = False
        self.sock.send_last(lambda: self.ws.send(CloseConnection(code, "too much input")))


class WholeWrites:
    """A socket whose sends are whole and do not mix: the library's two threads both send.

    ``_lock`` is held while a thread writes; the watcher bounds that time.
    """

    def __init__(self, client: socket.socket, watch: Watch) -> None:
        self._client = client
        self._watch = watch
        self._lock = threading.Lock()
        self._ended = False

    def send(self, data: bytes) -> int:
        """Send all of it, or raise OSError."""
        with self._lock:
            if self._ended:
                raise BrokenPipeError
            self._watch.writing_since = time.monotonic()
            try:
                self._client.sendall(data)
            finally:
                self._watch.writing_since = None
        return len(data)

    def send_last(self, make: Callable[[], bytes]) -> None:
        """Send what the kernel accepts now, and nothing after it; cut a socket in mid-write."""
        if not self._lock.acquire(timeout=LINGER_SECONDS):
            self._watch.cut()
            return
        try:
            self._ended = True
            with suppress(OSError):  # the client was faster, or reads nothing
                self._client.send(make(), socket.MSG_DONTWAIT)
                self._drop_input()
        finally:
            self._lock.release()

    def _drop_input(self) -> None:
        """Read on for a moment: because of unread input the kernel would reset the end away."""
        deadline = time.monotonic() + LINGER_SECONDS
        poll = select.poll()
        poll.register(self._client.fileno(), select.POLLIN)
        while (seconds_left := deadline - time.monotonic()) > 0 and poll.poll(seconds_left * 1000):
            if not self._client.recv(65_536, socket.MSG_DONTWAIT):
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
