"""Wakes an event loop from other threads, and lets the caller keep the interpreter."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import Context

from wsgi_app.engine.runtime.sockets import receive_at_once, send_at_once


class Waker:
    """What asyncio's own ``call_soon_threadsafe`` has, with a send that keeps the interpreter.

    With asyncio's the loop takes the interpreter at once, and the caller has to wait for it: a
    sixteenth of a short turn's CPU time (measured, ``make bench WORK=turns``). `wake` is called
    from any thread, `close` by the one that ran the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, woken: Callable[[], None]) -> None:
        """``woken`` is called on the loop, in a context of its own: the loop outlives all turns."""
        self._loop = loop
        self._woken = woken
        self._receiving, self._sending = socket.socketpair()
        for end in (self._receiving, self._sending):
            end.settimeout(0)
        Context().run(loop.add_reader, self._receiving, self._on_readable)

    def wake(self) -> None:
        """Have ``woken`` called soon; not again before it was. Raises OSError once closed."""
        send_at_once(self._sending, b"w")

    def close(self) -> None:
        """Close the sockets: `wake` fails from now on."""
        self._loop.remove_reader(self._receiving)
        self._receiving.close()
        self._sending.close()

    def _on_readable(self) -> None:
        receive_at_once(self._receiving, 1)
        self._woken()
