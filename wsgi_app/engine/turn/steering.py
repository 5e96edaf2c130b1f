"""What the user says to a turn while it runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.turn.steps import waiting_steers
from wsgi_app.errors import RequestError
from wsgi_app.events import EventId, Steered, encode_event
from wsgi_app.store.base import MAX_STEERS, Fence, Store
from wsgi_app.store.refusals import refusal

log = logging.getLogger("wsgi_app")

A = TypeVar("A", bound=Callable[..., Any])


def steerable(agent: A) -> A:
    """Let users steer an agent's turns: it reads what they say from `Turn.steered`.

    For a function or a class. A message to a turn of any other agent is refused.
    """
    agent.takes_steering = True  # type: ignore[attr-defined] # as the agents of this package have it
    return agent


class Steering:
    """One turn's messages that came while it runs.

    Each has an event when it comes, and one when the agent takes it. Offered by requests' threads
    and by the journal's, taken by the agent; ``_lock`` guards all of it, so that the turn's last
    look and a new message come one after the other. Only the log is called while it is held, which
    does not wait.
    """

    def __init__(  # noqa: PLR0913 - the parts of a turn that it touches, by its one caller
        self,
        fence: Fence,
        store: Store,
        events: EventLog,
        hurry: Callable[[Fence], None],
        agent: Any,
        *,
        goes_on: bool,
    ) -> None:
        """``agent``: the agent, if it is known yet; without one the turn takes nothing.

        ``goes_on``: whether the events are another worker's, which has taken some of them.
        """
        self._fence = fence
        self._store = store
        self._log = events
        self._hurry = hurry
        self._lock = threading.Lock()
        #: Whether it takes messages; written under the lock.
        self.is_open = bool(getattr(agent, "takes_steering", False))
        #: The ids of their events, by their own ids; the newest event of one that was repeated.
        self._known: dict[str, EventId] = {}
        self._waiting: list[Steered] = []
        if goes_on:
            self._restore()
        self._is_notified = False

    def _restore(self) -> None:
        for one in self._log.read(0, self._log.last_seq):
            if isinstance(one.event, Steered) and one.event.status == "waiting":
                self._known[one.event.steer_id] = one.id
        self._waiting = waiting_steers(self._log.events())

    def offer(self, steer_id: str, message: str) -> EventId:
        """Give the turn a message, once for each id; returns its event's id.

        Raises RequestError ``not_steerable`` or ``queue_full``.
        """
        with self._lock:
            known = self._known.get(steer_id)
            if known is not None:
                return known
            if not self.is_open:
                raise refusal("not_steerable")
            if len(self._known) >= MAX_STEERS:
                raise refusal("too_many_steers")
            event = Steered(steer_id, message)
            event_id = self._log.add(event, encode_event(event))
            if event_id is None:
                raise refusal("not_steerable")
            self._known[steer_id] = event_id
            self._waiting.append(event)
        self._hurry(self._fence)
        return event_id

    def take(self, *, last: bool = False) -> list[str]:
        """See `Turn.steered`."""
        with self._lock:
            self.is_open = self.is_open and not last
            taken, self._waiting = self._waiting, []
            for one in taken:
                event = Steered(one.steer_id, one.content, "taken")
                self._log.add(event, encode_event(event))
        return [one.content for one in taken]

    @property
    def waits(self) -> bool:
        """See `Turn.is_steered`."""
        with self._lock:
            return bool(self._waiting)

    def may_end(self) -> bool:
        """See `Turn.may_end`."""
        with self._lock:
            self.is_open = self.is_open and bool(self._waiting)
            return not self._waiting

    def close(self) -> None:
        """Take nothing more: the agent has come to its end."""
        with self._lock:
            self.is_open = False

    def notify(self) -> None:
        """Have `take_posted` look into the store."""
        self._is_notified = True

    def take_posted(self) -> None:
        """Take what other workers have posted; called by the journal's thread.

        Raises Fenced and StoreUnavailable.
        """
        if not self._is_notified:
            return
        self._is_notified = False
        try:
            for steer_id, message in self._store.take_steers(self._fence):
                try:
                    self.offer(steer_id, message.decode())
                except RequestError:
                    self._store.refuse_steer(self._fence, steer_id)
        except BaseException:
            self._is_notified = True
            raise
