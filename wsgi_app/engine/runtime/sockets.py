"""Calls on sockets that never block, without giving the interpreter away.

Python's own let other threads have the interpreter for the few microseconds that the kernel needs.
A thread that makes many of them, as a loop does, would each time wait its turn behind all others:
seconds for a round of hundreds of streams instead of milliseconds (`make bench WORK=generator`),
and a part of a short turn (`make bench WORK=turns`).
"""

from __future__ import annotations

import ctypes
import functools
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

SEND_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
#: What one call of `receive_at_once` takes at most.
MAX_RECEIVED_BYTES: Final = 65_536


class _Received(threading.local):
    """Where a thread's bytes come in."""

    def __init__(self) -> None:
        self.buffer = (ctypes.c_char * MAX_RECEIVED_BYTES)()
        self.view = memoryview(self.buffer)


_received: Final = _Received()


def send_at_once(client: socket.socket, data: bytes) -> int:
    """Send what the kernel takes now; returns how many bytes.

    Raises OSError, BlockingIOError among them, as `socket.send` does.
    """
    sent: int = _libc_function("send", ctypes.c_char_p)(
        client.fileno(), data, len(data), SEND_FLAGS
    )
    if sent < 0:
        raise _error()
    return sent


def receive_at_once(client: socket.socket, max_bytes: int) -> bytes:
    """Take what is there, at most ``MAX_RECEIVED_BYTES``; empty when the other side has ended.

    Raises OSError, BlockingIOError among them, as `socket.recv` does.
    """
    count = min(max_bytes, MAX_RECEIVED_BYTES)
    received: int = _libc_function("recv", ctypes.c_void_p)(
        client.fileno(), _received.buffer, count, socket.MSG_DONTWAIT
    )
    if received < 0:
        raise _error()
    return _received.view[:received].tobytes()


class EagerSocket(socket.socket):
    """A socket for an event loop alone: it never blocks, and keeps the interpreter.

    These are what the loop's transports call for each message, encrypted ones `recv_into`.
    """

    __slots__ = ()

    def send(self, data: Any, flags: int = 0) -> int:
        """Send what the kernel takes now."""
        return super().send(data, flags) if flags else send_at_once(self, bytes(data))

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Take what is there."""
        return super().recv(bufsize, flags) if flags else receive_at_once(self, bufsize)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Take what is there, and what there is room for."""
        if flags:
            return super().recv_into(buffer, nbytes, flags)
        data = receive_at_once(self, nbytes or len(buffer))
        buffer[: len(data)] = data
        return len(data)


@functools.cache
def _libc_function(name: str, buffer_type: Any) -> Callable[..., Any]:
    function = ctypes.PyDLL(None, use_errno=True)[name]  # PyDLL: the caller keeps the interpreter
    function.argtypes = (ctypes.c_int, buffer_type, ctypes.c_size_t, ctypes.c_int)
    function.restype = ctypes.c_ssize_t
    return function


def _error() -> OSError:
    error = ctypes.get_errno()
    return OSError(error, os.strerror(error))
