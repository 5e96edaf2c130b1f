"""Takes the connection of a response over from gunicorn's gthread, which goes on without it.

gunicorn keeps its socket object, which no longer has a file and becomes a `DeadEnd`: whatever
gunicorn does with it to end the request (workers/gthread.py, ``finish_request``) works, touches
no client, and counts once. The client's file goes on in another object. The application
answers an empty body, so that neither gunicorn nor what wraps the application sees an error; only
the line in the access log has to wait for the stream's end.

All of this depends on gunicorn's internals, which `find_fault` checks once in a worker.
"""

from __future__ import annotations

import inspect
import resource
import select
import socket
import sys
from datetime import datetime
from typing import Any, Final

#: What `find_connection` reads in the frame of ``ThreadWorker.handle_request``.
FRAME_LOCALS: Final = ("self", "req", "resp", "environ", "request_start")
#: What it uses of ``gunicorn.http.wsgi.Response``.
RESPONSE_METHODS: Final = ("force_close", "start_response", "send_headers")
RESPONSE_FIELDS: Final = ("status", "chunked", "headers", "headers_sent", "sent", "sock")
ACCESS_PARAMETERS: Final = ("self", "resp", "req", "environ", "request_time")
#: Where `note_connections` keeps what `find_connection` else looks for on the stack.
_NOTED: Final = "wsgi_app.connection"
#: What `gunicorn_hooks.post_worker_init` sets on a worker.
HOOKS_ATTRIBUTE: Final = "wsgi_app_drained"
#: Set on a response whose line in the access log waits.
PARKED_ATTRIBUTE: Final = "wsgi_app_parked"
_ACCESS_ATTRIBUTE: Final = "wsgi_app_access"
#: Files that are never used for parked streams: what the site opens, and connections to models.
MIN_SPARE_FILES: Final = 64


class Connection:
    """A request's connection, as gunicorn holds it while the application runs."""

    def __init__(
        self, worker: Any, request: Any, response: Any, environ: dict[str, Any], began_at: datetime
    ) -> None:
        self.worker = worker
        self._request = request
        self._response = response
        self._environ = environ
        self._began_at = began_at
        #: The client's socket: gunicorn's until `hand_over`, then one that is ours alone.
        self.socket: socket.socket = response.sock

    @property
    def logs_access(self) -> bool:
        """Whether `log_access` may write a line: another logger's, or gunicorn's own (26 says)."""
        log, module = self.worker.log, sys.modules.get("gunicorn.glogging")
        is_own = module is not None and type(log).access is module.Logger.access
        return not is_own or bool(getattr(log, "access_log_enabled", True))

    @property
    def has_begun(self) -> bool:
        """Whether the head of the response is out."""
        return bool(self._response.headers_sent)

    def find_obstacle(self, environ: dict[str, Any]) -> str | None:
        """Why this response, begun by ``start_response``, cannot be taken over; None if it can."""
        response = self._response
        if environ.get("gunicorn.socket") is not self.socket:
            return "something around the application hides the connection"
        if response.status is None or response.headers_sent:
            return "something around the application holds the response back"
        if not response.chunked:
            return "the response is not chunked"
        if any(name.lower() == "content-encoding" for name, _ in response.headers):
            return "something encodes the response"
        return None

    def hand_over(self) -> bytes:
        """Take the client's file out of gunicorn's socket, which is a `DeadEnd` then.

        The new one is non-blocking. Returns the head of the response, with ``Connection: close``,
        which gunicorn believes to be sent.
        """
        head = self._take_head()
        gunicorns = self.socket
        self.socket = socket.socket(
            gunicorns.family, gunicorns.type, gunicorns.proto, fileno=gunicorns.detach()
        )
        self.socket.settimeout(0)
        gunicorns.__class__ = DeadEnd
        self._response.chunked = False  # or gunicorn would write the end of the body
        setattr(self._response, PARKED_ATTRIBUTE, True)
        return head

    def _take_head(self) -> bytes:
        head = _Head()
        self._response.force_close()
        self._response.sock = head
        try:
            self._response.send_headers()
        finally:
            self._response.sock = self.socket  # what fails is answered by gunicorn there
        return bytes(head)

    def log_access(self, body_bytes: int) -> None:
        """Write the access log's line; may block."""
        self._response.sent = body_bytes
        write = getattr(self.worker.log, _ACCESS_ATTRIBUTE)
        write(self._response, self._request, self._environ, datetime.now() - self._began_at)  # noqa: DTZ005 - gunicorn's own clock


class DeadEnd(socket.socket):
    """A socket without a file, whose other side has ended; gunicorn's alone.

    No call of the system is made: with a pair of real ones they were nine for each stream.
    """

    __slots__ = ()

    def settimeout(self, value: float | None) -> None:
        """Do nothing."""

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as socket has it
        """Do nothing."""

    def shutdown(self, how: int) -> None:
        """Do nothing."""

    def recv(self, bufsize: int, flags: int = 0) -> bytes:  # noqa: ARG002 - as socket has them
        """Return the end."""
        return b""


class _Head(bytearray):
    """Takes what gunicorn sends, as its socket."""

    def sendall(self, data: bytes) -> None:
        """Keep it."""
        self += data


def note_connections(worker: Any) -> None:
    """Have gunicorn's gthread note in each request's environ what its connection is made of.

    Called by the worker's hook, in its process. Not the `Connection` itself, which holds the
    environ: such a cycle would leave each request to the garbage collector.
    """
    module = sys.modules.get("gunicorn.workers.gthread")
    if module is None or not isinstance(worker, module.ThreadWorker):
        return
    create = module.wsgi.create

    def noting(request: Any, *parts: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
        response, environ = create(request, *parts, **named)
        environ[_NOTED] = (worker, request, response, datetime.now())  # noqa: DTZ005 - gunicorn's own clock
        return response, environ

    module.wsgi.create = noting


def connection_of(environ: dict[str, Any]) -> Connection | None:
    """The connection of the request that the caller answers; None unless gthread has it."""
    noted = environ.get(_NOTED)
    if noted is None:
        return find_connection()
    worker, request, response, began_at = noted
    return Connection(worker, request, response, environ, began_at)


def find_connection() -> Connection | None:
    """The connection of the request that the caller answers; None unless gthread is above it.

    gunicorn gives its applications neither its worker nor its response, but both are local
    variables of a function that called them.
    """
    module = sys.modules.get("gunicorn.workers.gthread")
    if module is None:
        return None
    code = module.ThreadWorker.handle_request.__code__
    frame = sys._getframe()  # noqa: SLF001 - the documented way to the stack
    while frame.f_code is not code:
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return Connection(*map(frame.f_locals.__getitem__, FRAME_LOCALS))


def is_held_back() -> bool:
    """Whether gunicorn's gthread has sent nothing yet of the body that the caller continues."""
    try:
        connection = find_connection()
        begun = connection is None or connection.has_begun
    except (KeyError, AttributeError):
        return False  # an unknown version of gunicorn: streams continue without it
    return not begun


def may_hand_over(environ: dict[str, Any]) -> bool:
    """Whether the response to this request is one that can be taken over: plain HTTP/1.1."""
    client = environ.get("gunicorn.socket")
    return (
        type(client) is socket.socket
        and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        and environ.get("HTTP_VERSION") != "2"
        and environ.get("REQUEST_METHOD") != "HEAD"
        and client.fileno() < max_files_used()
    )


def max_files_used() -> int:
    """How many files may be open for a stream to be parked.

    The kernel uses the lowest free number (open(2)): a new connection's shows how many are open.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - max(MIN_SPARE_FILES, limit // 8)


def find_fault(worker: Any) -> str | None:
    """Why no stream of this gunicorn worker can be parked; None where all holds."""
    module = sys.modules.get("gunicorn.workers.gthread")
    if not hasattr(select, "epoll"):
        return "it needs epoll, which Linux has and gevent takes away"
    if module is None or not hasattr(worker, HOOKS_ATTRIBUTE):
        return "gunicorn.conf.py does not import the hooks"
    missing = find_missing(module.ThreadWorker, module.wsgi.Response, type(worker.log))
    return f"this gunicorn is another than expected: {', '.join(missing)}" if missing else None


def find_missing(worker_class: type, response_class: type, logger_class: type) -> list[str]:
    """The names that this module relies on, and that these classes of gunicorn lack."""
    handle, init = _code_of(worker_class, "handle_request"), _code_of(response_class, "__init__")
    missing = [f"handle_request: {name}" for name in FRAME_LOCALS if name not in handle.co_varnames]
    missing += [f"Response.{name}" for name in RESPONSE_FIELDS if name not in init.co_names]
    missing += [
        f"Response.{name}" for name in RESPONSE_METHODS if not hasattr(response_class, name)
    ]
    access = getattr(logger_class, "access", None)
    if access is None or tuple(inspect.signature(access).parameters) != ACCESS_PARAMETERS:
        missing.append("Logger.access")
    return missing


def _code_of(owner: type, name: str) -> Any:
    return getattr(getattr(owner, name, None), "__code__", find_missing.__code__)


def hold_access_lines(log: Any) -> None:
    """Have gunicorn's logger leave the lines of parked responses to `Connection.log_access`."""
    if hasattr(log, _ACCESS_ATTRIBUTE):
        return
    write = log.access
    setattr(log, _ACCESS_ATTRIBUTE, write)

    def access(resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        if not hasattr(resp, PARKED_ATTRIBUTE):
            write(resp, req, environ, request_time)

    log.access = access
