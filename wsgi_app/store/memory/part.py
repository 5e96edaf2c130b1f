"""What all parts of the memory store have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from wsgi_app.events import CancelReason
from wsgi_app.store.base import (
    SessionKey,
    Signal,
    StoreLimits,
)
from wsgi_app.store.memory.session import Push, Session
from wsgi_app.store.memory.session_table import SessionTable
from wsgi_app.store.memory.turn import Turn


class MemoryPart:
    """The state, and the listeners to its changes; `MemoryStore` makes it.

    ``_lock`` guards it, is never held while a listener runs, and every operation under it is short.
    """

    _limits: StoreLimits
    _clock: Callable[[], float]
    _lock: threading.Lock
    _sessions: SessionTable
    _listeners: tuple[tuple[str, Callable[[Signal], None]], ...]

    @staticmethod
    def _flag(
        session: Session, key: SessionKey, number: int | None, reason: CancelReason
    ) -> list[Push]:
        pushes = []
        for turn in session.active:
            if number is None or turn.number == number:
                turn.cancel = turn.cancel or reason
                pushes.append((turn.worker_id, Signal("cancel", key, turn.number, turn.cancel)))
        return pushes

    def _ended(self, key: SessionKey, session: Session, turn: Turn, *, is_lost: bool) -> list[Push]:
        waiting = [other.worker_id for other in session.active]
        workers = {*waiting, *session.followers(self._clock())} - {turn.worker_id}
        if is_lost:  # who writes an end knows it
            workers.add(turn.worker_id)
        return [(worker_id, Signal("ended", key, turn.number)) for worker_id in workers]

    def _send(self, pushes: Sequence[Push]) -> None:
        for listening, listener in self._listeners:
            if listening:
                signals = [signal for worker_id, signal in pushes if worker_id == listening]
            else:
                signals = list(dict.fromkeys(signal for _, signal in pushes))
            for signal in signals:
                listener(signal)
