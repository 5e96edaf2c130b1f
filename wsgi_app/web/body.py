"""Reads a request's body, and discards one that is not read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import IO

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from wsgi_app.compat.flask import lift_body_limit, read_limited
from wsgi_app.compat.gunicorn import smaller_reads
from wsgi_app.delivery.server import client_socket, is_body_here, open_chunked_body
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import RequestError
from wsgi_app.web.current import current_mount

#: How long a client may pause in its body: its request's thread waits.
PAUSE_SECONDS = 15.0
#: How long a body may take in all that does not come with its request's head.
BODY_SECONDS = 30.0
#: The same of a file.
UPLOAD_SECONDS = 300.0
#: The same where its tenant has no permit left for that.
HASTY_BODY_SECONDS = 0.25
#: What a refused client may still send before the connection is broken off.
MAX_DISCARDED_BYTES = 67_108_864
#: How long it may take for that where there is a permit for it: its thread is held meanwhile.
DISCARD_SECONDS = 5.0
#: The same without a permit: what is there already, and a little more.
HASTY_SECONDS = 0.05
_CHUNK_BYTES = 65_536


def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body.

    Raises RequestError ``too_large``, ``length_required``, ``invalid_json`` if it breaks off, and
    ``at_capacity`` if it comes slowly while its tenant's permits are taken.
    """
    environ = request.environ
    length = request.content_length or 0
    if length > max_bytes or "HTTP_TRANSFER_ENCODING" in environ:
        _check_length(request, max_bytes)
    patient = True
    try:
        client = None if is_body_here(environ) else client_socket(environ)
        # One byte more: a body of unknown length is cut at the limit without a word.
        if client is None:
            body = read_limited(request, max_bytes + 1)
        else:
            with _in_time(client, BODY_SECONDS) as patient:
                body = read_limited(request, max_bytes + 1)
    except RequestEntityTooLarge:
        raise _too_large(max_bytes) from None  # by the site's own limit, which is lower
    except Exception:  # noqa: BLE001 - every server has its own kinds for a body that breaks off
        raise _broken_off(patient=patient) from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if len(body) < length:
        raise _broken_off(patient=patient)
    return body


def read_pieces(request: Request, max_bytes: int) -> Generator[bytes, None, None]:
    """The body in pieces as it comes; raises RequestError as `read_body` does, between them too.

    The site's own limit does not apply. Close what is not read to its end.
    """
    _check_length(request, max_bytes)
    lift_body_limit(request)
    environ = request.environ
    body = environ["wsgi.input"] if environ.get("wsgi.input_terminated") else request.stream
    client = client_socket(environ)
    count, patient = 0, True
    in_time = nullcontext(patient) if client is None else _in_time(client, UPLOAD_SECONDS)
    with in_time as patient, smaller_reads(environ, _CHUNK_BYTES):
        while data := _next_piece(body, patient=patient):
            count += len(data)
            if count > max_bytes:
                raise _too_large(max_bytes)
            yield data
    if count < (request.content_length or 0):
        raise _broken_off(patient=patient)


def _next_piece(body: IO[bytes], *, patient: bool) -> bytes:
    try:
        return body.read(_CHUNK_BYTES)
    except Exception:  # noqa: BLE001 - as in `read_body`
        raise _broken_off(patient=patient) from None


def _check_length(request: Request, max_bytes: int) -> None:
    if not open_chunked_body(request.environ):
        raise RequestError(
            "length_required",
            "This server does not pass on a chunked body: send it with a Content-Length.",
        )
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)


@contextmanager
def _in_time(client: socket.socket, seconds: float) -> Iterator[bool]:
    """Bound how long the block waits for a body that is not here yet, since it holds a thread.

    Its pauses are bounded too. Returns whether there is a permit for that, else it is short.
    """
    permit = current_mount().take_permit()
    before = client.gettimeout()
    try:
        client.settimeout(PAUSE_SECONDS)
        with _broken_off_after(seconds if permit else HASTY_BODY_SECONDS, client):
            yield permit is not None
    finally:
        if permit is not None:
            permit.give_back()
        client.settimeout(before)


def has_body(request: Request) -> bool:
    """Whether the client may still be sending a body."""
    return bool(request.content_length) or "HTTP_TRANSFER_ENCODING" in request.environ


def discard_body(request: Request, seconds: float) -> None:
    """Read what the client still sends, within bounds.

    A server that closes a connection with unread bytes resets it, and the client, still sending,
    loses the answer.
    """
    lift_body_limit(request)
    open_chunked_body(request.environ)
    terminated = request.environ.get("wsgi.input_terminated")
    client = client_socket(request.environ)
    before = None if client is None else client.gettimeout()
    try:
        body = request.environ["wsgi.input"] if terminated else request.stream
        with _broken_off_after(seconds, client if has_body(request) else None):
            _discard(body, client, seconds)
    except Exception:  # noqa: BLE001 - as above; there is an answer to send already
        return
    finally:
        if client is not None:
            client.settimeout(before)


@contextmanager
def _broken_off_after(seconds: float, client: socket.socket | None) -> Iterator[None]:
    """End the client's input unless the block has ended by then.

    A time limit of the socket holds for each of its reads, and one read of a server's body makes
    many of them (gunicorn's http/body.py): a client that sends byte by byte would go on for days.
    """
    if client is None:
        yield
        return
    ended = threading.Event()
    input_of = client

    def shut_when_over() -> None:
        if not ended.wait(seconds):
            with suppress(OSError):  # the client was faster
                # Not its own method: that of an encrypted one would end the encryption too.
                socket.socket.shutdown(input_of, socket.SHUT_RD)

    start_thread(shut_when_over, "body")
    try:
        yield
    finally:
        ended.set()


def _discard(body: IO[bytes], client: socket.socket | None, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    bytes_left = MAX_DISCARDED_BYTES
    while bytes_left > 0 and (seconds_left := deadline - time.monotonic()) > 0:
        if client is not None:
            client.settimeout(seconds_left)
        data = body.read(_CHUNK_BYTES)
        if not data:
            return
        bytes_left -= len(data)


def _too_large(max_bytes: int) -> RequestError:
    return RequestError("too_large", "The body is too large.", {"max_bytes": max_bytes})


def _broken_off(*, patient: bool) -> RequestError:
    if not patient:
        return RequestError("at_capacity", "Too many request bodies arrive slowly; try again.")
    return RequestError("invalid_json", "The body could not be read to its end.")
