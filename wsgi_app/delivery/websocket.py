"""One client's WebSocket: messages in, events out, in its request's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from simple_websocket import ConnectionClosed
from simple_websocket.errors import SimpleWebsocketError
from wsproto.utilities import ProtocolError

from wsgi_app.delivery.disconnect import HangupWatcher, Watch
from wsgi_app.delivery.inbox import BoundedServer, WholeWrites
from wsgi_app.delivery.reader import ReaderGone
from wsgi_app.delivery.server import SOCKET_KEYS, client_socket
from wsgi_app.engine.runtime.threads import LibraryThread


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
            self._server = BoundedServer.accept(
                _with_whole_writes(environ, self._watch),
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
        except ConnectionClosed:
            if not messages:
                raise ReaderGone from None
        return messages

    def send(self, text: str) -> None:
        """Send one message; raises ReaderGone when the client has gone or reads too slowly."""
        try:
            self._server.send(text)
        except (ConnectionClosed, OSError):
            raise ReaderGone from None

    def end(self, code: int, reason: str) -> None:
        """Close the connection with a reason."""
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


def _with_whole_writes(environ: dict[str, Any], watch: Watch) -> dict[str, Any]:
    wrapped = {key: WholeWrites(environ[key], watch) for key in SOCKET_KEYS if key in environ}
    return {**environ, **wrapped}
