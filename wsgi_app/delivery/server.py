"""What is known of the server that runs this worker, and of the client's socket."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import FrameType

#: Where servers put the connection's socket. Under HTTP/2 it is shared by many requests.
SOCKET_KEYS = ("gunicorn.socket", "werkzeug.socket")
#: waitress answers this way whether the client has gone; needs channel_request_lookahead above 0.
DISCONNECTED_KEY = "waitress.client_disconnected"


class ServerFacts(NamedTuple):
    """``threads``: how many requests a worker serves at once; None when that has no bound.

    ``workers``: how many processes serve the site.
    """

    threads: int | None
    workers: int


def find_server() -> ServerFacts | None:
    """Find the running server; None when it is not a known one.

    Most tell applications nothing of their threads, but each of them is the caller: of every
    request, and under gunicorn also of the application's import.
    """
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the documented way to the stack
    while frame is not None:
        caller = frame.f_locals.get("self")
        facts = _describe(caller, type(caller).__module__)
        if facts is not None:
            return facts
        frame = frame.f_back
    return _find_embedding()


def _find_embedding() -> ServerFacts | None:
    """Ask the module that uWSGI or mod_wsgi, which call from C, puts into each interpreter."""
    if (uwsgi := sys.modules.get("uwsgi")) is not None:
        return ServerFacts(uwsgi.cores, uwsgi.numproc)
    if (mod_wsgi := sys.modules.get("mod_wsgi")) is not None:
        return ServerFacts(mod_wsgi.threads_per_process, mod_wsgi.maximum_processes)
    return None


def _describe(caller: Any, module: str) -> ServerFacts | None:
    if module.startswith("gunicorn.") and hasattr(caller, "cfg"):
        config = caller.cfg
        threaded = config.worker_class_str in ("sync", "gthread")
        return ServerFacts(config.threads if threaded else None, config.workers)
    if module == "waitress.task" and hasattr(caller, "channel"):
        return ServerFacts(caller.channel.server.adj.threads, 1)
    if module == "a2wsgi.wsgi" and hasattr(caller, "executor"):
        return ServerFacts(getattr(caller.executor, "_max_workers", None), 1)
    if module == "werkzeug.serving" and hasattr(caller, "server"):
        return ServerFacts(None if caller.server.multithread else 1, 1)
    return None


def client_socket(environ: dict[str, Any]) -> socket.socket | None:
    """The connection's socket, if the server shows it and no other request shares it."""
    if environ.get("HTTP_VERSION") == "2":
        return None
    for key in SOCKET_KEYS:
        found = environ.get(key)
        if isinstance(found, socket.socket):
            return found
    return None


def client_disconnected(environ: dict[str, Any]) -> Callable[[], bool] | None:
    """A function that tells whether the client has gone, where the server offers one.

    To be asked for once the request's body has been read.
    """
    if "asgi.scope" in environ:
        return _asgi_disconnected(environ["wsgi.input"])
    found: Callable[[], bool] | None = environ.get(DISCONNECTED_KEY)
    return found


def _asgi_disconnected(body: Any) -> Callable[[], bool] | None:
    """Under a2wsgi the body knows how to hear the ASGI server, which tells of the hang-up."""
    if not (hasattr(body, "receive") and hasattr(body, "loop")):
        return None
    return asyncio.run_coroutine_threadsafe(_hear_disconnect(body.receive), body.loop).done


async def _hear_disconnect(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # the rest of the body, which nobody reads
