"""The client's socket, and other signs of whether the client is still there."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from wsgi_app.delivery.server.bridge import disconnect_check
from wsgi_app.delivery.server.stack import callers
from wsgi_app.engine.runtime import green

#: Where servers put the connection's socket. Under HTTP/2 it is shared by many requests.
SOCKET_KEYS: Final[tuple[str, ...]] = ("gunicorn.socket", "werkzeug.socket")
#: waitress answers this way whether the client has gone; needs channel_request_lookahead above 0.
DISCONNECTED_KEY: Final = "waitress.client_disconnected"


def client_socket(environ: dict[str, Any]) -> socket.socket | None:
    """The connection's socket, if the server shows it and no other request shares it."""
    if environ.get("HTTP_VERSION") == "2":
        return None
    for key in SOCKET_KEYS:
        found = environ.get(key)
        if isinstance(found, socket.socket):
            return found
    if str(environ.get("SERVER_SOFTWARE")).startswith("Cheroot"):
        return _cheroot_socket()
    return None


def _cheroot_socket() -> socket.socket | None:
    for caller in callers():
        if caller.module == "cheroot.wsgi" and hasattr(caller.owner, "req"):
            found = caller.owner.req.conn.socket
            return found if isinstance(found, socket.socket) else None
    return None


def client_disconnected(environ: dict[str, Any]) -> Callable[[], bool] | None:
    """A function that reports whether the client has gone, where the server offers one.

    To be asked for once the request's body has been read.
    """
    found: Callable[[], bool] | None = environ.get(DISCONNECTED_KEY)
    if found is not None:
        return found
    if "uwsgi.version" in environ and (uwsgi := sys.modules.get("uwsgi")) is not None:
        return _poll_hang_up(uwsgi.connection_fd())
    return disconnect_check(environ["wsgi.input"])


def learns_by_writing(environ: dict[str, Any]) -> bool:
    """Whether only the next write shows that the client has gone."""
    return environ.get("SERVER_SOFTWARE") == "Granian" or "mod_wsgi.version" in environ


def _poll_hang_up(fileno: int) -> Callable[[], bool] | None:
    # gevent's own does not know POLLRDHUP.
    make_poll = green.original_select("poll")
    if fileno < 0 or make_poll is None:
        return None
    poll = make_poll()
    poll.register(fileno, select.POLLRDHUP)
    return lambda: bool(poll.poll(0))
