"""The worker's two event loops, each in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

from wsgi_app.engine.runtime import green
from wsgi_app.engine.runtime.loop_executor import LoopExecutor
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.runtime.timers import Timer, Timers
from wsgi_app.engine.runtime.waker import Waker

log = logging.getLogger("wsgi_app")

T = TypeVar("T")


class LoopThread:
    """An asyncio loop that starts with its first use.

    Called from any thread; ``_lock`` guards the start, the end and the count. ``_calls`` is what
    other threads want done, in order; a deque guards itself. Everything else happens in the loop's
    own thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._unfinished = 0
        self._submitted: Callable[[], None] = lambda: None
        self._calls: deque[tuple[Callable[[], object], Context]] = deque()
        self._is_woken = False
        self._waker: Waker | None = None
        self._timers = Timers()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        return self._loop or self._begin()[0]

    def _begin(self) -> tuple[asyncio.AbstractEventLoop, Waker]:
        with self._lock:
            if self._loop is None or self._waker is None:
                loop = Context().run(green.new_event_loop)  # its own reader keeps the context
                loop.set_default_executor(LoopExecutor())
                waker = Waker(loop, self._take_calls)
                try:
                    self._thread = start_thread(partial(self._run_in, loop), f"loop-{self._name}")
                except RuntimeError:
                    waker.close()
                    loop.close()
                    raise
                # Not before its thread: without one nothing on it would happen.
                self._loop, self._waker = loop, waker
            return self._loop, self._waker

    def is_current(self) -> bool:
        """Whether the caller runs on this loop's thread."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:  # none runs there
            return False

    def submit(
        self, coroutine: Coroutine[Any, Any, T], over: Callable[[], None] = lambda: None
    ) -> concurrent.futures.Future[T]:
        """Run a coroutine on the loop in a copy of the caller's context.

        Cancelling the future cancels the task, and frees at once what waits for it; ``over`` is
        called when the task itself has come to its end.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        loop = self.loop
        with self._lock:
            self._unfinished += 1

        def start() -> None:
            task = loop.create_task(coroutine)
            future.add_done_callback(partial(self._hand_cancel_on, task))
            task.add_done_callback(finish)

        def finish(task: asyncio.Task[T]) -> None:
            with self._lock:
                self._unfinished -= 1
            _hand_outcome_on(task, future)
            over()

        self.call_soon(start)
        self._submitted()
        return future

    def on_submit(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called with every submit, in its thread; before the first one."""
        self._submitted = callback

    @property
    def unfinished(self) -> int:
        """How many submitted tasks have not come to their end."""
        return self._unfinished

    def call_soon(self, callback: Callable[[], object], context: Context | None = None) -> None:
        """Have ``callback``, which must not block, called on the loop as soon as it can.

        In this context, or a copy of the caller's. A loop that is woken already is not woken again,
        which takes a write to its socket each time, and so the interpreter from the caller. Raises
        RuntimeError when the loop has ended.
        """
        waker = self._waker or self._begin()[1]
        self._calls.append((callback, copy_context() if context is None else context))
        if not self._is_woken:
            self._is_woken = True
            try:
                waker.wake()
            except OSError as error:
                self._is_woken = False
                raise RuntimeError("the loop has ended") from error

    def _take_calls(self) -> None:
        self._is_woken = False  # first: a later call wakes the loop once more
        while self._calls:
            callback, context = self._calls.popleft()
            self.loop.call_soon(callback, context=context)

    def stack(self) -> str:
        """What the loop's thread is doing now."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return ""
        frame = green.frame_of(loop) or sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - the documented way to another thread's stack
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    def count_tasks(self) -> int:
        """How many tasks the loop has; 0 before its first use."""
        return 0 if self._loop is None else len(asyncio.all_tasks(self._loop))

    def call_later(self, delay_seconds: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback``, which must not block, on the loop after a delay.

        Any thread may cancel it. Raises RuntimeError when the loop has ended.
        """
        loop = self._loop or self._begin()[0]  # first: nothing looks at timers without its thread
        timer = Timer(callback)
        if self._timers.add(delay_seconds, timer) or self._stopping:
            self.call_soon(partial(self._timers.look, loop), self._timers.context)
        return timer

    def stop(self, timeout_seconds: float) -> None:
        """End the loop, its tasks cancelled; gives up waiting after ``timeout_seconds``."""
        with self._lock:
            loop, thread, self._stopping = self._loop, self._thread, True
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout_seconds)

    def _hand_cancel_on(
        self, task: asyncio.Task[Any], future: concurrent.futures.Future[Any]
    ) -> None:
        if future.cancelled():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its tasks with it
                self.call_soon(task.cancel)

    def _run_in(self, loop: asyncio.AbstractEventLoop) -> None:
        green.run_loop(loop, lambda: self._run(loop))

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # asyncio passes these on from a task to the thread that runs the loop; the task has
                # its own copy, and other turns must continue.
                log.warning("a task on loop %s raised SystemExit; the loop continues", self._name)
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        if self._waker is not None:
            self._waker.close()
        loop.close()
        self._is_woken = False  # and never will be again


def _hand_outcome_on(task: asyncio.Task[T], future: concurrent.futures.Future[T]) -> None:
    with contextlib.suppress(concurrent.futures.InvalidStateError):  # the waiter has given up
        if task.cancelled():
            future.cancel()
            return
        error = task.exception()
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())
