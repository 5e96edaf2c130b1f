"""Sends on a socket that never blocks, without giving the interpreter away."""

from __future__ import annotations

import ctypes
import functools
import os
import socket
from collections.abc import Callable
from typing import Any, Final

FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


def send_at_once(client: socket.socket, data: bytes) -> int:
    """Send what the kernel takes now; returns how many bytes.

    `socket.send` lets other threads have the interpreter for the few microseconds that the kernel
    needs. One that writes hundreds of streams would wait its turn behind all agents' threads once
    per stream: seconds for a round instead of milliseconds (`make bench WORK=generator`). Raises
    OSError, BlockingIOError among them, as `socket.send` does.
    """
    sent: int = _libc_send()(client.fileno(), data, len(data), FLAGS)
    if sent < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return sent


@functools.cache
def _libc_send() -> Callable[..., Any]:
    send = ctypes.PyDLL(None, use_errno=True).send  # PyDLL: the caller keeps the interpreter
    send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
    send.restype = ctypes.c_ssize_t
    return send
