"""Learns from an ASGI server, through the bridge that calls the application, of hang-ups.

A bridge reads the request's body by ``receive()`` and then forgets it, though the server would
report a client's hang-up there. The coroutine that waits for the application still has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import chain
from typing import Any, Final

from wsgi_app.delivery.server.stack import callers, main_thread

#: What an application's coroutine waits in; deeper there is no bridge.
MAX_DEPTH: Final = 100
#: Under which bridges and asyncio's runner keep their loop.
LOOP_NAMES: Final = ("loop", "_loop")

Receive = Callable[[], Awaitable[dict[str, Any]]]


def disconnect_check(body: Any) -> Callable[[], bool] | None:
    """A function that reports whether the client of a request has gone; None without a bridge.

    ``body`` is the request's ``wsgi.input``, once it has been read: nothing else calls
    ``receive()`` then.
    """
    if hasattr(body, "receive") and hasattr(body, "loop"):  # a2wsgi's
        return _asked(_await_disconnect(body.receive), body.loop)
    loop = _find_loop()
    return None if loop is None else _asked(_await_disconnect_of(body), loop)


def _asked(
    hearing: Coroutine[Any, Any, bool], loop: asyncio.AbstractEventLoop
) -> Callable[[], bool]:
    waiting = asyncio.run_coroutine_threadsafe(hearing, loop)

    def has_gone() -> bool:
        if not waiting.done() or waiting.cancelled() or waiting.exception() is not None:
            return False
        return waiting.result()

    return has_gone


async def _await_disconnect(receive: Receive) -> bool:
    while (await receive())["type"] != "http.disconnect":
        pass  # the rest of the body, which is not read
    return True


async def _await_disconnect_of(body: Any) -> bool:
    receive = _find_receive(body)
    return receive is not None and await _await_disconnect(receive)


def _find_receive(body: Any) -> Receive | None:
    """The ``receive`` of the coroutine that has made this body. Called on its loop."""
    for task in asyncio.all_tasks():
        for names in _awaiting(task.get_coro()):
            environ = names.get("environ")
            made = environ.get("wsgi.input") if isinstance(environ, dict) else names.get("body")
            if made is body and callable(names.get("receive")):
                receive: Receive = names["receive"]
                return receive
    return None


def _awaiting(coroutine: Any) -> Iterator[dict[str, Any]]:
    """The local variables of a coroutine, and of those that it waits for."""
    for _ in range(MAX_DEPTH):
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            return
        yield frame.f_locals
        coroutine = coroutine.cr_await


def _find_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop that a caller of this thread knows, or that the main thread runs."""
    for caller in chain(callers(), main_thread()):
        owner = caller.owner
        known = (caller.names.get("loop"), owner, *(getattr(owner, n, None) for n in LOOP_NAMES))
        for found in known:
            if isinstance(found, asyncio.AbstractEventLoop) and found.is_running():
                return found
    return None
