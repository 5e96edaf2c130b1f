"""Agent objects that belong to one session each, kept by the worker that runs its turns."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from wsgi_app.engine.threads import start_thread
from wsgi_app.errors import TurnCancelled
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

    An agent with ``open_session()`` is one for all that gives, without an argument, the agent of a
    session: itself, or one with ``close()``.

    Touched by turns' threads, by the store's signals and by the keeper; ``_lock`` guards the table,
    and is held neither while an agent is made nor while one is closed: both are users' code.
    """

    def __init__(self, make: Callable[[], Any], idle_seconds: float) -> None:
        self._make = make
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._kept: dict[SessionKey, _Kept] = {}
        self._takes = 0
        self._shared: Any = None
        #: Of an agent that is one for all and gives the sessions' own; set once.
        self._open_session: Callable[[], Any] | None = None

    def take(self, key: SessionKey) -> Any:
        """The session's agent, for a turn; give it back with `give_back`.

        Raises what making an agent raises, and TurnCancelled if that took until after the turn.
        """
        if self._shared is not None:
            return self._shared
        with self._lock:
            self._takes += 1
            number = self._takes
            kept = self._kept.get(key)
            if kept is not None and not kept.in_use:
                self._kept[key] = kept._replace(in_use=True, number=number)
                return kept.agent
        if kept is not None:
            # Its turn has ended, but not its code: two turns must not share an agent.
            self.discard(key)
        agent = self._make_one()
        if not hasattr(agent, "close"):
            self._shared = agent
            return agent
        self._keep(key, _Kept(agent, time.monotonic(), in_use=True, number=number))
        return agent

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

    def _make_one(self) -> Any:
        if self._open_session is None:
            agent = self._make()
            if not hasattr(agent, "open_session"):
                return agent
            self._open_session = agent.open_session
        return self._open_session()

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
        left = sum(thread.is_alive() for thread in threads)
        if left:
            log.warning("%d agents were still closing when the worker left", left)


def _start_close(agent: Any) -> threading.Thread:
    return start_thread(partial(_close, agent), "agent-close")


def _close(agent: Any) -> None:
    try:
        agent.close()
    except Exception:
        log.exception("an agent's close() failed")
