"""WebSockets of all wires: which requests may open one, and how their threads serve them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from flask import Response, request

from wsgi_app.auth import check_origin
from wsgi_app.delivery.reader import ReaderGone
from wsgi_app.delivery.server import client_socket
from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.errors import RequestError
from wsgi_app.extras import missing_text
from wsgi_app.store.base import SessionKey
from wsgi_app.web.mount import Mount

if TYPE_CHECKING:
    from wsgi_app.delivery.websocket import EventSocket

#: The registry of IANA: "try again later".
TRY_AGAIN_LATER: Final = 1013
#: How long a connection sleeps at most before it looks whether its worker is about to leave.
LOOK_SECONDS: Final = 2.0


class Conversation(Protocol):
    """The messages of one connection; used by its request's thread."""

    def run(self) -> None:
        """Serve the client; raises ReaderGone when it has left or was disconnected."""

    def count_leaving(self) -> None:
        """Count a client that has left, if that was in the middle of a turn."""

    def close(self) -> None:
        """Stop counting as a reader."""


def serve_socket(
    mount: Mount, key: SessionKey, begin: Callable[[EventSocket, Wakeup], Conversation]
) -> Response:
    """Take over this request's connection, for one reader of a session; raises RequestError."""
    check_origin(request, mount.settings.cors_origins)
    accept = _event_socket()
    if client_socket(request.environ) is None:
        raise RequestError("not_found", "This server offers no WebSockets.")
    slot = mount.attach((key,), lambda slot: slot)
    try:
        _serve(mount, accept, begin)
    finally:
        slot.give_back()
    return _TakenOver()


def _event_socket() -> type[EventSocket]:
    """The library is loaded with the first WebSocket; few sites have any."""
    try:
        from wsgi_app.delivery.websocket import EventSocket  # noqa: PLC0415 - as said
    except ImportError:
        raise RequestError("not_found", missing_text("websocket", "The WebSocket")) from None
    return EventSocket


def _serve(
    mount: Mount,
    accept: type[EventSocket],
    begin: Callable[[EventSocket, Wakeup], Conversation],
) -> None:
    wakeup = Wakeup()
    try:
        client = accept(
            request.environ,
            mount.worker.watcher,
            wakeup.set,
            ping_seconds=mount.settings.keepalive_seconds,
            max_message_bytes=mount.settings.max_body_bytes,
        )
    except ConnectionError:
        raise RequestError("invalid_request", "This is not a WebSocket handshake.") from None
    mount.release_resources()
    conversation = begin(client, wakeup)
    try:
        conversation.run()
    except ReaderGone:
        conversation.count_leaving()  # in one way or the other
    finally:
        conversation.close()
        client.close()


class _TakenOver(Response):
    """What is left of a request whose connection was a WebSocket: nothing to write."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if "gunicorn.socket" in environ:
            # gunicorn's word for a response that the application has written itself.
            raise StopIteration
        return super().__call__(environ, start_response)
