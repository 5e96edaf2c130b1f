"""Calls what makes agents: a function, an ``async`` one, or an async context manager."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.turn.turn import leave_turn

log = logging.getLogger("wsgi_app")

#: Waits for a future, as long as its caller may.
Wait = Callable[["Future[Any]"], Any]


class Given:
    """The factory of an agent that exists already."""

    def __init__(self, agent: Any) -> None:
        self.agent = agent

    @property
    def lack(self) -> str:
        """What the agent lacks to answer, in its own words; "" if nothing."""
        lack = getattr(self.agent, "lack", "")
        return lack if isinstance(lack, str) else ""

    def __call__(self) -> Any:
        """The agent."""
        return self.agent


class AgentFactory:
    """Makes agents; what is ``async`` runs on the worker's agent loop.

    An async context manager is entered once, and left by `close`; what it yields is the agent of
    all sessions. Called by turns' threads and by the one that closes the worker; ``_lock`` guards
    the one that is entered.
    """

    def __init__(self, make: Callable[[], Any], loop: LoopThread) -> None:
        self._make = make
        self._loop = loop
        self._lock = threading.Lock()
        self._life: _Life | None = None

    def __call__(self, wait: Wait) -> tuple[Any, bool]:
        """Make an agent, and say whether it is one for all sessions; raises what that raises."""
        life = self._life
        made = life if life is not None and not life.failed else self._make()
        if inspect.iscoroutine(made):
            return wait(self._loop.submit(made)), False
        # Its class: a wrapped function, such as New Relic's, has the attributes of its wrapper.
        if hasattr(made.__class__, "__aenter__"):
            made = self._enter(made)
        if isinstance(made, _Life):
            return made.wait(wait), True
        return made, False

    def close(self, timeout_seconds: float) -> None:
        """Leave the context manager, if one was entered; logs what it raises."""
        with self._lock:
            life, self._life = self._life, None
        if life is not None:
            life.end(timeout_seconds)

    def _enter(self, manager: Any) -> _Life:
        with self._lock:
            if self._life is None or self._life.failed:
                self._life = _Life(manager, self._loop)
            return self._life


class _Life:
    """A context manager's time from its entry to its end, in one task of the agent loop."""

    def __init__(self, manager: Any, loop: LoopThread) -> None:
        self._loop = loop
        self._opened: Future[Any] = Future()
        self._ended: Future[None] = Future()
        self._closing: asyncio.Event
        self._task: asyncio.Task[None]
        context = copy_context()  # with the app's, so that the site's settings are there
        context.run(leave_turn)
        context.run(loop.call_soon, lambda: self._begin(manager))

    @property
    def failed(self) -> bool:
        """Whether it could not be entered."""
        return self._opened.done() and self._opened.exception() is not None

    def wait(self, wait: Wait) -> Any:
        """Wait until it is entered; returns what it yielded."""
        mine: Future[Any] = Future()  # a waiter that gives up must not cancel the others

        def hand_on(opened: Future[Any]) -> None:
            with suppress(InvalidStateError):
                error = opened.exception()
                if error is None:
                    mine.set_result(opened.result())
                else:
                    mine.set_exception(error)

        self._opened.add_done_callback(hand_on)
        return wait(mine)

    def end(self, timeout_seconds: float) -> None:
        """Leave it, within this time."""
        try:
            self._loop.call_soon(self._close)
            self._ended.result(timeout_seconds)
        except FutureTimeoutError:
            log.warning("the agent was still closing when the worker left")
        except Exception:
            log.exception("the agent's end failed")

    def _begin(self, manager: Any) -> None:
        self._closing = asyncio.Event()
        self._task = self._loop.loop.create_task(self._run(manager))

    def _close(self) -> None:
        self._closing.set()

    async def _run(self, manager: Any) -> None:
        try:
            async with manager as agent:
                self._opened.set_result(agent)
                await self._closing.wait()
        except BaseException as error:  # noqa: BLE001 - all of them are the waiter's
            (self._ended if self._opened.done() else self._opened).set_exception(error)
        else:
            self._ended.set_result(None)
