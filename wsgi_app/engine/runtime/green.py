"""What gevent changes: threads are greenlets of one thread, and must not keep it from the others.

The one module that knows gevent, which nobody has to install: each function does the plain thing
until gevent has replaced ``threading`` in this process. From then on all of the engine's threads
are greenlets, and so are its event loops: a loop waits for its sockets by way of gevent's hub. A
loop in a real thread would share gevent's locks with the greenlets, which are those of the standard
library and of every package then; with two threads that want one of them at once they stall
(measured, gevent 26.9: ``threading.Lock`` for good within seconds).
"""

from __future__ import annotations

import asyncio
import select
import selectors
import sys
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

#: How long a loop that always has something to do keeps the thread from the other greenlets.
MAX_HOLD_SECONDS: Final = 0.002

#: The greenlet of each loop; used by the one thread that all of them share.
_greenlets: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Any]] = WeakKeyDictionary()


def is_green() -> bool:
    """Whether threads are greenlets here."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def original_select(name: str) -> Any:
    """``select.epoll`` or ``select.poll``, or None where the system has none.

    gevent takes the first away, and replaces the second.
    """
    return _original("select", name) if is_green() else getattr(select, name, None)


def poll(epoll: Any, timeout_seconds: float) -> list[tuple[int, int]]:
    """Wait for what a ``select.epoll`` watches, while only the caller waits."""
    if is_green():
        from gevent.select import select as wait  # noqa: PLC0415 - not installed everywhere

        # An epoll is a file that can be waited for in its turn.
        if not wait([epoll], [], [], timeout_seconds)[0]:
            return []
        timeout_seconds = 0
    found: list[tuple[int, int]] = epoll.poll(timeout_seconds)
    return found


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop, to be run inside of `run_loop`."""
    if not is_green():
        return asyncio.new_event_loop()
    epoll_selector = _original("selectors", "EpollSelector")
    if epoll_selector is None:
        return asyncio.SelectorEventLoop(selectors.DefaultSelector())  # gevent's, which is slower
    return asyncio.SelectorEventLoop(_HubSelector(epoll_selector()))


def run_loop(loop: asyncio.AbstractEventLoop, run: Callable[[], None]) -> None:
    """Call ``run``, which runs the loop until its end, in the caller's thread."""
    if is_green():
        greenlet = _make_loop_greenlet(run)
        _greenlets[loop] = greenlet
        greenlet.switch()
    else:
        run()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, which may run once at a time in all greenlets of a thread."""
    if not is_green():
        return asyncio.run(coroutine)
    loop = new_event_loop()
    results: list[T] = []

    def main() -> None:
        try:
            results.append(loop.run_until_complete(coroutine))
        finally:
            loop.close()

    run_loop(loop, main)
    return results[0]


def frame_of(loop: asyncio.AbstractEventLoop) -> FrameType | None:
    """Where a loop that runs in a greenlet waits; None for one that runs in a thread."""
    frame: FrameType | None = getattr(_greenlets.get(loop), "gr_frame", None)
    return frame


class _HubSelector(selectors.BaseSelector):
    """Watches files by an epoll, and waits for that one in gevent's hub; used by one loop."""

    def __init__(self, kept: selectors.BaseSelector) -> None:
        from gevent import get_hub  # noqa: PLC0415 - as above

        self._kept = kept
        self._hub = get_hub()
        self._readable = self._hub.loop.io(kept.fileno(), 1)  # type: ignore[attr-defined] # an EpollSelector has one
        self._waited_at = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for files that are ready."""
        if timeout is None or timeout > 0:
            self._wait(timeout)
        elif time.monotonic() - self._waited_at > MAX_HOLD_SECONDS:
            self._wait(0)
        return self._kept.select(0)

    def _wait(self, seconds: float | None) -> None:
        from gevent.hub import Waiter  # noqa: PLC0415 - as above

        waiter = Waiter(self._hub)
        timer = None if seconds is None else self._hub.loop.timer(seconds)
        self._readable.start(waiter.switch, None)
        if timer is not None:
            timer.start(waiter.switch, None, update=True)
        try:
            waiter.get()
        finally:
            self._readable.stop()
            if timer is not None:
                timer.stop()
                timer.close()
        self._waited_at = time.monotonic()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See its base."""
        return self._kept.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """See its base."""
        return self._kept.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See its base."""
        return self._kept.modify(fileobj, events, data)

    def get_map(self) -> Any:
        """See its base."""
        return self._kept.get_map()

    def close(self) -> None:
        """See its base."""
        self._readable.stop()
        self._readable.close()
        self._kept.close()


class _Running:
    """What asyncio knows of the loop that runs in a thread; taken out, nothing runs there."""

    def __init__(self) -> None:
        self._loop = asyncio._get_running_loop()  # noqa: SLF001 - documented as made for event loops
        self._task = None if self._loop is None else asyncio.current_task(self._loop)
        self._hooks = sys.get_asyncgen_hooks()
        if self._loop is not None and self._task is not None:
            asyncio.tasks._leave_task(self._loop, self._task)  # noqa: SLF001 - as above
        asyncio._set_running_loop(None)  # noqa: SLF001 - as above

    def put_back(self) -> None:
        """Undo the taking out."""
        asyncio._set_running_loop(self._loop)  # noqa: SLF001 - as above
        sys.set_asyncgen_hooks(*self._hooks)
        if self._loop is not None and self._task is not None:
            asyncio.tasks._enter_task(self._loop, self._task)  # noqa: SLF001 - as above


def _make_loop_greenlet(main: Callable[[], None]) -> Any:
    """A greenlet that has its running loop for itself, where asyncio has one for a thread.

    gevent calls ``switch_out`` before it continues other greenlets, also in the middle of a
    task which waits for a lock, and ``switch`` or ``throw`` to come back.
    """
    from greenlet import greenlet  # noqa: PLC0415 - it comes with gevent

    class LoopGreenlet(greenlet):  # type: ignore[misc] # it has no types
        mine: _Running | None = None
        others: _Running

        def run(self) -> None:
            try:
                main()
            finally:
                self.others.put_back()

        def switch_out(self) -> None:
            self.mine = _Running()
            self.others.put_back()

        def switch(self, *args: Any) -> Any:
            self._enter()
            return super().switch(*args)

        def throw(self, *args: Any) -> Any:
            self._enter()
            return super().throw(*args)

        def _enter(self) -> None:
            self.others = _Running()
            if self.mine is not None:
                self.mine.put_back()

    return LoopGreenlet()


def _original(module: str, name: str) -> Any:
    from gevent import monkey  # noqa: PLC0415 - as above

    try:
        return monkey.get_original(module, name)
    except AttributeError:
        return None
