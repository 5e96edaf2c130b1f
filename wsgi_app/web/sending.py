"""How answers that are no streams reach their client: a slow one holds no thread."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from flask import Response, request

from wsgi_app.delivery.disconnect import Watch
from wsgi_app.delivery.generator import MAX_CHUNK_BYTES
from wsgi_app.delivery.server import client_socket
from wsgi_app.errors import RequestError
from wsgi_app.web.current import current_mount
from wsgi_app.web.envelope import error_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.refuse import count_refused
from wsgi_app.web.unsent import CLOSE_UNSENT

#: An answer of up to so many bytes is left to the kernel at once, whatever its client reads.
KERNEL_BYTES: Final = 65_536
#: What is asked of the kernel for that; it keeps its own books in the same room.
_SEND_BUFFER_BYTES: Final = 2 * KERNEL_BYTES


class Answer(Response):
    """A response whose client has AGENT_WRITE_TIMEOUT_SECONDS for each chunk of it."""

    #: Made by `bound_answer`, which turns other responses into these.
    guard: Callable[[], Watch]

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer as WSGI asks; the site's after_request functions have run."""
        body, status, headers = self.get_wsgi_response(environ)
        start_response(status, headers)
        guarded = _Guarded(body, self.guard())
        environ[CLOSE_UNSENT] = guarded.close
        return guarded


class _Guarded:
    """A body in chunks, each with its own deadline; used by its request's thread."""

    def __init__(self, body: Iterable[bytes], watch: Watch) -> None:
        self._body = body
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        for part in self._body:
            for start in range(0, len(part), MAX_CHUNK_BYTES):
                self._watch.writing_since = time.monotonic()
                yield part[start : start + MAX_CHUNK_BYTES]
                self._watch.writing_since = None

    def close(self) -> None:
        """Called by the server at the end, before it closes the connection."""
        self._watch.close()
        close: Callable[[], None] = getattr(self._body, "close", lambda: None)
        close()


def bound_answer(response: Response, mount: Mount | None = None) -> Response:
    """Bound how long this answer's client may take; refuse it if too many are being sent.

    What does not fit into the kernel's buffer takes a permit of its tenant's, but for a turn's
    answer: those are bounded by the turns.
    """
    if type(response) is not Response:
        return response  # a stream bounds its own writes; a site's own kind stays what it is
    mount = mount or current_mount()
    client = client_socket(request.environ)
    if client is None:
        return response
    response.direct_passthrough = False  # such a body would not be closed by its response
    if request.method in ("GET", "HEAD") and not _fits(client, _size_of(response)):
        permit = mount.take_permit()
        if permit is None:
            response.close()
            count_refused("at_capacity")
            response = error_response(
                RequestError("at_capacity", "Too many large answers are being sent.")
            )
        else:
            response.call_on_close(permit.give_back)
    answer = Answer.force_type(response, request.environ)
    assert isinstance(answer, Answer)  # noqa: S101 - says what werkzeug has just made it
    watcher = mount.worker.watcher
    answer.guard = lambda: watcher.bound_writes(client)
    return answer


def _size_of(response: Response) -> int:
    """How many bytes the body has; what is not known counts as large."""
    known = response.calculate_content_length() if response.is_sequence else None
    return known or response.content_length or (0 if response.is_sequence else 2 * KERNEL_BYTES)


def _fits(client: socket.socket, size: int) -> bool:
    """Whether the kernel takes the body without a wait, beside what the client has not read."""
    waiting = struct.unpack("i", fcntl.ioctl(client.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
    if size + waiting > KERNEL_BYTES:
        return False
    if client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < _SEND_BUFFER_BYTES:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return True
