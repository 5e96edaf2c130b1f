"""What runs beside an event loop because it would block it: sync tools, name look-ups."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from wsgi_app.engine.runtime.owner import CallOwner, current_owner
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import TurnCancelled

if TYPE_CHECKING:
    from typing_extensions import ParamSpec  # typing's own is missing in Python 3.9

    P = ParamSpec("P")

T = TypeVar("T")

#: Of one turn at once; further calls wait for one of them to end.
MAX_THREADS_PER_TURN: Final = 32
MAX_WAITING_PER_TURN: Final = 10_000


class LoopExecutor(ThreadPoolExecutor):
    """A loop's default executor: asyncio.to_thread, frameworks' sync tools and nodes.

    asyncio's own has a handful of threads for all turns, so that a few tools which wait for their
    users' answers would stop all others, and the interpreter joins them when it exits. Here each
    turn has threads of its own, which the engine knows, and each call an app context of its own.

    Called by the loop's thread, and by the threads that it starts when they look for more work;
    ``_lanes_lock`` guards the lanes.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # asyncio insists on the class; its own pool stays unused
        self._lanes_lock = threading.Lock()
        self._lanes: WeakKeyDictionary[CallOwner, _Lane] = WeakKeyDictionary()
        self._shared_lane = _Lane()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn`` in a thread of the turn that the caller belongs to."""
        future: Future[T] = Future()
        turn = current_owner.get()
        call = partial(_run, future, _enter(turn, partial(fn, *args, **kwargs)))
        with self._lanes_lock:
            lane = self._shared_lane if turn is None else self._lanes.setdefault(turn, _Lane())
            starts = lane.take(call)
        if starts:
            try:
                self._start(turn, partial(self._work, lane))
            except RuntimeError:
                with self._lanes_lock:
                    lane.drop(call)
                raise
        return future

    def _start(self, turn: CallOwner | None, work: Callable[[], None]) -> None:
        if turn is None:
            start_thread(work, "beside-loop")
        else:
            turn.start_thread(work)

    def _work(self, lane: _Lane) -> None:
        while True:
            with self._lanes_lock:
                call = lane.next()
            if call is None:
                return
            call()


class _Lane:
    """The calls of one turn that wait, and how many threads work on them.

    Guarded by its executor's lock.
    """

    def __init__(self) -> None:
        self._threads = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, call: Callable[[], None]) -> bool:
        """Take a call; True if a thread must be started for it."""
        if len(self._waiting) >= MAX_WAITING_PER_TURN:
            raise RuntimeError("too many calls of this turn wait for a thread")
        self._waiting.append(call)
        if self._threads >= MAX_THREADS_PER_TURN:
            return False
        self._threads += 1
        return True

    def next(self) -> Callable[[], None] | None:
        """What the asking thread should do; with None it ends."""
        if self._waiting:
            return self._waiting.popleft()
        self._threads -= 1
        return None

    def drop(self, call: Callable[[], None]) -> None:
        """Drop a call whose thread cannot be started."""
        self._threads -= 1
        with suppress(ValueError):  # another thread has taken it
            self._waiting.remove(call)


def _enter(turn: CallOwner | None, call: partial[T]) -> Callable[[], T]:
    """Run a call in its app context.

    asyncio.to_thread and frameworks hand over the ``run`` of a context: it is pushed inside of it.
    """
    context = getattr(call.func, "__self__", None)
    if turn is None or not isinstance(context, Context):
        return call
    function, *args = call.args
    return partial(context.run, turn.call, partial(function, *args, **call.keywords))


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except TurnCancelled:
        # What a cancelled task raises: the loop would log anything else as an error that
        # nothing retrieved, since its waiter is cancelled too.
        future.set_exception(CancelledError())
    except StopIteration as error:
        # Before Python 3.12 asyncio's futures refuse it, and would never be done.
        wrapped = RuntimeError("a function raised StopIteration")
        wrapped.__cause__ = error
        future.set_exception(wrapped)
    except BaseException as error:  # noqa: BLE001 - all of them are the waiter's
        future.set_exception(error)
    else:
        future.set_result(result)
