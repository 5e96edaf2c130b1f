"""One client's WebSocket: messages in, events out, in its request's thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from simple_websocket import ConnectionClosed, Server
from simple_websocket.errors import SimpleWebsocketError
from wsproto.utilities import ProtocolError

from wsgi_app.delivery.disconnect import HangupWatcher
from wsgi_app.delivery.reader import ReaderGone
from wsgi_app.delivery.server import SOCKET_KEYS, client_socket
from wsgi_app.engine.threads import LibraryThread

#: Messages that wait to be read; more than a client that waits for answers ever sends.
MAX_WAITING_MESSAGES: Final = 100
#: RFC 6455, section 7.4.1.
POLICY_VIOLATION: Final = 1008


class EventSocket:
    """A WebSocket that wakes its one user when a message or the end has come.

    Used by its request's thread; the library's thread reads, answers pings and sends its own, and
    the watcher's ends a write that takes too long. `close` must be called once done.
    """

    def __init__(
        self,
        environ: dict[str, Any],
        watcher: HangupWatcher,
        wake: Callable[[], None],
        *,
        ping_seconds: float,
        max_message_bytes: int,
    ) -> None:
        """Accept the connection; raises ConnectionError if the handshake fails."""
        self._watch = watcher.watch(client_socket(environ), None, lambda _: wake())
        try:
            self._server = Server.accept(
                _with_whole_writes(environ),
                ping_interval=ping_seconds,
                max_message_size=max_message_bytes,
                thread_class=LibraryThread,
                event_class=lambda: _WakingEvent(wake),
            )
        except (SimpleWebsocketError, ProtocolError) as error:
            self._watch.close()
            raise ConnectionError("the WebSocket handshake failed") from error

    def receive(self) -> list[str | bytes]:
        """The messages that have come; raises ReaderGone when the client has gone."""
        messages: list[str | bytes] = []
        try:
            while (message := self._server.receive(timeout=0)) is not None:
                messages.append(message)
                if len(messages) > MAX_WAITING_MESSAGES:
                    self.end(POLICY_VIOLATION, "too many messages")
                    raise ReaderGone
        except ConnectionClosed:
            if not messages:
                raise ReaderGone from None
        return messages

    def send(self, text: str) -> None:
        """Send one message; raises ReaderGone when the client has gone or reads too slowly."""
        self._watch.writing_since = time.monotonic()
        try:
            self._server.send(text)
        except (ConnectionClosed, OSError):
            raise ReaderGone from None
        finally:
            self._watch.writing_since = None

    def end(self, code: int, reason: str) -> None:
        """Say good-bye, and why."""
        with suppress(ConnectionClosed, OSError):  # the client was faster
            self._server.close(code, reason)

    def close(self) -> None:
        """End the connection, and the library's thread with it."""
        self.end(1000, "")
        self._watch.cut()
        self._watch.close()


class _WakingEvent(threading.Event):
    """What the library sets when a message or the end has come."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake

    def set(self) -> None:
        super().set()
        self._wake()


class _WholeWrites:
    """A socket whose sends are whole and do not mix: the library's two threads both send.

    ``_lock`` is held while a thread writes; the watcher bounds that time.
    """

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._lock = threading.Lock()

    def send(self, data: bytes) -> int:
        with self._lock:
            self._client.sendall(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def _with_whole_writes(environ: dict[str, Any]) -> dict[str, Any]:
    wrapped = {key: _WholeWrites(environ[key]) for key in SOCKET_KEYS if key in environ}
    return {**environ, **wrapped}
