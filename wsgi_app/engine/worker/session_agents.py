"""Agent objects that belong to one session each, kept by the worker that runs its turns."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.turn import leave_turn
from wsgi_app.engine.worker.agent_factory import AgentFactory, Given, Wait
from wsgi_app.errors import MemoryUnavailable, TurnCancelled
from wsgi_app.store.base import SessionKey

log = logging.getLogger("wsgi_app")


class _Kept(NamedTuple):
    agent: Any
    used_at: float
    in_use: bool
    #: Grows with every `SessionAgents.take`.
    number: int


class SessionAgents:
    """Makes agents: one for all sessions, or one per session if they have ``close()``.

    An agent with ``open_session()`` is one for all. The method returns the agent of a session: the
    same one, or one with ``close()``; where ``has_state`` is false, the same one. The method
    ``forget_session(name)``, sync or async, is called for each session that is deleted.

    Touched by turns' threads, by the store's signals and by the heartbeat; ``_lock`` guards the
    table, and is held neither while an agent is made nor while one is closed: both are users' code.
    """

    def __init__(self, make: Callable[[], Any], idle_seconds: float, loop: LoopThread) -> None:
        self._make = AgentFactory(make, loop)
        self._given = given = make.agent if isinstance(make, Given) else None
        opens = hasattr(given, "open_session") or hasattr(given, "close")
        self._has_state = given is None or bool(getattr(given, "has_state", opens))
        self._loop = loop
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._kept: dict[SessionKey, _Kept] = {}
        self._take_count = 0
        #: The agent of all sessions, once it is known that there is one.
        self.shared: Any = None
        #: The one agent that opens the sessions' own agents; set once.
        self._opener: Any = None
        #: Whether agents have ``forget_session``; None until one was made.
        self.forgets_sessions: bool | None = None

    def take(self, key: SessionKey, wait: Wait = Future.result) -> Any:
        """The session's agent, for a turn; to be returned with `give_back`.

        ``wait`` is how the turn waits for what is made on the agent loop.

        Raises what making an agent raises, and TurnCancelled if the turn has ended by then.
        """
        if self.shared is not None:
            return self.shared
        with self._lock:
            self._take_count += 1
            number = self._take_count
            kept = self._kept.get(key)
            if kept is not None and not kept.in_use:
                self._kept[key] = kept._replace(in_use=True, number=number)
                return kept.agent
        if kept is not None:
            # Its turn has ended, but not its code: two turns must not share an agent.
            self.discard(key)
        agent, is_shared = self._make_one(wait)
        if is_shared:
            return agent
        self._keep(key, _Kept(agent, time.monotonic(), in_use=True, number=number))
        return agent

    @property
    def known(self) -> Any:
        """The agent of all sessions, or what opens theirs; None while there is none."""
        return self._given or self._opener or self.shared

    @property
    def resumes(self) -> bool:
        """Whether the agent of all sessions continues turns of other workers.

        False where there is none, or none yet: the first turn of a worker may find that out late.
        """
        agent = self.shared if self.shared is not None else self._given
        return bool(getattr(agent, "resumes", False))

    @property
    def may_have_state(self) -> bool:
        """Whether sessions may have agents of their own, which stay in this worker."""
        return self._has_state and self.shared is None

    def has(self, key: SessionKey) -> bool:
        """Whether the session's agent is here."""
        return key in self._kept

    def _keep(self, key: SessionKey, made: _Kept) -> None:
        """Keep an agent, unless a newer turn has come meanwhile and made its own."""
        with self._lock:
            other = self._kept.get(key)
            is_late = other is not None and other.number > made.number
            if not is_late:
                self._kept[key] = made
        if is_late:
            _start_close(made.agent)
            raise TurnCancelled
        if other is not None:
            _start_close(other.agent)

    def _make_one(self, wait: Wait) -> tuple[Any, bool]:
        """Make an agent, and say whether it is one for all sessions."""
        if self._opener is None:
            agent, is_shared = self._make(wait)
            self.forgets_sessions = hasattr(agent, "forget_session")
            if not hasattr(agent, "open_session"):
                return self._share(agent, is_shared=is_shared or not hasattr(agent, "close"))
            self._opener = agent
        agent = self._opener.open_session()
        return self._share(agent, is_shared=not hasattr(agent, "close"))

    def _share(self, agent: Any, *, is_shared: bool) -> tuple[Any, bool]:
        if is_shared:
            self.shared = agent
        return agent, is_shared

    def forget(self, name: SessionName, timeout_seconds: float) -> None:
        """Delete an agent's own memory of a session.

        Raises MemoryUnavailable if that fails, or takes too long.
        """
        if self.forgets_sessions is False:
            return
        deadline = time.monotonic() + timeout_seconds

        def wait(future: Future[Any]) -> Any:
            try:
                return future.result(max(0.0, deadline - time.monotonic()))
            finally:
                future.cancel()

        try:
            self._forget(name, wait)
        except Exception as error:
            log.exception("what the agent remembers of a session cannot be forgotten")
            raise MemoryUnavailable from error

    def _forget(self, name: SessionName, wait: Wait) -> None:
        with self._lock:
            kept = next((kept.agent for kept in self._kept.values()), None)
        agent = self._opener or self.shared or kept
        made = None
        if agent is None:
            made, is_shared = self._make_one(wait)
            agent = self._opener or made
            made = None if is_shared else made
        try:
            if self.forgets_sessions:
                context = copy_context()
                context.run(leave_turn)  # its last thread may be the caller's
                wait(context.run(self._loop.submit, _call(agent.forget_session, name)))
        finally:
            if made is not None:
                _start_close(made)

    def give_back(self, key: SessionKey, agent: Any) -> None:
        """The turn has come to its end; the agent waits for the session's next one."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.agent is agent:
                self._kept[key] = kept._replace(used_at=time.monotonic(), in_use=False)

    def discard(self, key: SessionKey) -> None:
        """Close what is kept for a session that is gone, has moved, or whose turn does not stop."""
        with self._lock:
            kept = self._kept.pop(key, None)
        if kept is not None:
            _start_close(kept.agent)

    def close_idle(self) -> None:
        """Close the agents of sessions that have had no turn for a while."""
        oldest = time.monotonic() - self._idle_seconds
        with self._lock:
            idle = [
                k for k, kept in self._kept.items() if not kept.in_use and kept.used_at < oldest
            ]
            # In one step: a turn that takes one now gets a new one.
            agents = [self._kept.pop(key).agent for key in idle]
        for agent in agents:
            _start_close(agent)

    def close_all(self, timeout_seconds: float) -> None:
        """Close every agent, at the same time, and wait for them; logs what was left."""
        with self._lock:
            kept, self._kept = list(self._kept.values()), {}
        threads = [_start_close(one.agent) for one in kept]
        deadline = time.monotonic() + timeout_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._make.close(max(0.1, deadline - time.monotonic()))
        still_closing = sum(thread.is_alive() for thread in threads)
        if still_closing:
            log.warning("%d agents were still closing when the worker left", still_closing)


async def _call(function: Callable[[SessionName], Any], name: SessionName) -> None:
    if inspect.iscoroutinefunction(function):
        await function(name)
    else:
        await asyncio.to_thread(function, name)


def _start_close(agent: Any) -> threading.Thread:
    return start_thread(partial(_close, agent), "agent-close")


def _close(agent: Any) -> None:
    try:
        agent.close()
    except Exception:
        log.exception("an agent's close() failed")
