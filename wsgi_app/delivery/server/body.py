"""Makes bodies of unknown length readable where servers do not say that they are."""

from __future__ import annotations

import fcntl
import io
import ssl
import struct
import sys
import tempfile
import termios
from collections.abc import Callable
from typing import Any, Final

from wsgi_app.delivery.server.client import client_socket

#: How long uWSGI waits for the next part of a body.
PAUSE_SECONDS: Final = 15
TERMINATED: Final = "wsgi.input_terminated"


def open_chunked_body(environ: dict[str, Any]) -> bool:
    """Have ``wsgi.input`` read to its end if the body came without a length.

    False where the server does not pass such a body on; nothing was changed then.
    """
    if "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return True
    if environ.get(TERMINATED):
        return True
    read_chunk = getattr(sys.modules.get("uwsgi"), "chunked_read", None)
    if "uwsgi.version" in environ and read_chunk is not None:
        environ["wsgi.input"] = io.BufferedReader(_ChunkedInput(read_chunk))
    elif not _ends_by_itself(environ.get("wsgi.input")):
        return False
    environ[TERMINATED] = True
    return True


def is_body_here(environ: dict[str, Any]) -> bool:
    """Whether a read of the whole body will wait for nothing; False where the server hides that."""
    try:
        missing = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return False
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return False
    # What gunicorn has read behind the request's head (its http/unreader.py).
    reader = getattr(environ.get("wsgi.input"), "reader", None)
    ahead = getattr(getattr(reader, "unreader", None), "buf", None)
    if isinstance(ahead, io.BytesIO):
        missing -= ahead.getbuffer().nbytes
    if missing <= 0:
        return True
    client = client_socket(environ)
    if client is not None and not isinstance(client, ssl.SSLSocket):
        missing -= struct.unpack("i", fcntl.ioctl(client.fileno(), termios.FIONREAD, b"\0" * 4))[0]
    return missing <= 0


def _ends_by_itself(body: Any) -> bool:
    """Whether it was read whole before, as hypercorn does, or is a2wsgi's."""
    whole = isinstance(body, (io.BytesIO, tempfile.SpooledTemporaryFile))
    return whole or (hasattr(body, "receive") and hasattr(body, "loop"))


class _ChunkedInput(io.RawIOBase):
    """What uWSGI reads of a chunked body. Used by its request's thread."""

    def __init__(self, read_chunk: Callable[[int], bytes]) -> None:
        self._read_chunk = read_chunk
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest and not self._ended:
            self._rest = memoryview(self._read_chunk(PAUSE_SECONDS))
            self._ended = not self._rest
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
