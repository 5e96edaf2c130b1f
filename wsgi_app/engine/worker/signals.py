"""What a worker does on the store's signals: one handler for each kind."""

from __future__ import annotations

from collections.abc import Callable

from wsgi_app.engine.worker.affinity import Affinity
from wsgi_app.engine.worker.following import Following
from wsgi_app.engine.worker.journal import Journal
from wsgi_app.engine.worker.run_table import RunTable
from wsgi_app.engine.worker.session_agents import SessionAgents
from wsgi_app.events import CancelReason
from wsgi_app.store.base import Fence, SessionKey, Signal


class Signals:
    """Called on the store's thread; its parts guard themselves, and none of them blocks."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that signals are for, by their one caller
        self,
        runs: RunTable,
        journal: Journal,
        following: Following,
        session_agents: SessionAgents,
        affinity: Affinity,
        look_soon: Callable[[], None],
    ) -> None:
        self._runs = runs
        self._journal = journal
        self._following = following
        self._session_agents = session_agents
        self._affinity = affinity
        self._look_soon = look_soon
        self._handlers: dict[str, Callable[[Signal], None]] = {
            "events": self._on_events,
            "ended": self._on_ended,
            "moved": self._on_moved,
            "cancel": self._on_cancel,
            "offer": self._on_offer,
            "follow": self._on_follow,
            "input": self._on_input,
            "steer": self._on_steer,
            "lost": self._on_lost,
        }

    def take(self, signal: Signal) -> None:
        """Do what a signal asks for."""
        self._handlers[signal.kind](signal)

    def _on_events(self, signal: Signal) -> None:
        self._following.wake(signal.key)

    def _on_ended(self, signal: Signal) -> None:
        wake_waiting(self._following, self._runs, signal.key)

    def _on_moved(self, signal: Signal) -> None:
        self._session_agents.discard(signal.key)

    def _on_cancel(self, signal: Signal) -> None:
        reason: CancelReason = signal.value  # type: ignore[assignment] # the store sends what request_cancel took
        found = self._runs.note_cancel(signal.key, signal.turn, reason)
        if found is not None:
            found.cancel(reason)

    def _on_offer(self, signal: Signal) -> None:
        self._affinity.adopt(Fence(signal.key, signal.turn, signal.value))

    def _on_lost(self, _: Signal) -> None:
        self._look_soon()

    def _on_follow(self, signal: Signal) -> None:
        run = self._runs.find(signal.key, signal.turn)
        if run is not None:
            self._journal.follow(run.fence)

    def _on_steer(self, signal: Signal) -> None:
        run = self._runs.find(signal.key, signal.turn)
        if run is not None:
            run.steering.notify()
            self._journal.hurry(run.fence)

    def _on_input(self, signal: Signal) -> None:
        run = self._runs.find(signal.key, signal.turn)
        if run is not None:
            self._journal.hurry(run.fence)


def wake_waiting(following: Following, runs: RunTable, key: SessionKey) -> None:
    """Wake what waits for the end of a turn of this session: readers, and turns behind it."""
    following.wake(key)
    for run in runs.select(key):
        run.wake_queued()
