"""Sends the user's messages to a session's running turn, on any worker."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Final

import msgspec

from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.worker.cancels import Cancels
from wsgi_app.engine.worker.following import Following
from wsgi_app.engine.worker.journal import Journal
from wsgi_app.engine.worker.run_table import RunTable
from wsgi_app.errors import StoreUnavailable
from wsgi_app.events import LOST_SEQ, EventId, Steered, decode_event
from wsgi_app.store.base import PostedSteer, SessionKey, StepWrite, Store
from wsgi_app.store.refusals import refusal

#: How long a sender waits for the turn's worker to take a message, before it takes it back.
STEER_WAIT_SECONDS: Final = 5.0
#: How often it looks, beside the signals.
LOOK_SECONDS: Final = 0.25
#: When it looks through the whole turn.
AGAIN_SECONDS: Final = 0.5
#: How long it waits for the store to have what a turn of its own worker took.
STORED_SECONDS: Final = 1.0
_EVENTS_AT_ONCE: Final = 500


class Steers:
    """Used by any thread; its parts guard themselves.

    A sender learns what has become of its message: the turn's log or journal has its event, or it
    never reached the turn.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a worker, by their one caller
        self,
        store: Store,
        runs: RunTable,
        journal: Journal,
        following: Following,
        cancels: Cancels,
        worker_id: str,
        lease_seconds: float,
    ) -> None:
        self._store = store
        self._runs = runs
        self._journal = journal
        self._following = following
        self._cancels = cancels
        self._worker_id = worker_id
        self._lease_seconds = lease_seconds

    def steer(self, key: SessionKey, steer_id: str, message: str) -> EventId:
        """Steer the session's running turn, once for each ``steer_id``; returns the event's id.

        Raises RequestError: ``not_steerable`` where the message has not reached a turn and will
        not, ``queue_full`` where it has had as many as it takes. Raises StoreUnavailable where
        that is not known.
        """
        for run in self._runs.select(key):
            if run.running and not run.ended:
                return self._steer_here(run, steer_id, message)
        wakeup = Wakeup()
        self._following.await_signals(key, wakeup.set)
        try:
            data = message.encode("utf-8", "replace")
            posted = self._store.post_steer(key, steer_id, data, follower=self._worker_id)
            return self._await(key, posted, steer_id, wakeup)
        finally:
            self._following.leave(key, wakeup.set)

    def await_end(self, key: SessionKey, turn: int, wait_seconds: float) -> bool:
        """Wait for a turn's end, wherever it runs; False when the time is over first."""
        return self._cancels.await_end(key, turn, wait_seconds)

    def _steer_here(self, run: TurnRun, steer_id: str, message: str) -> EventId:
        event_id = run.steering.offer(steer_id, message)
        written = self._journal.record(run.fence, StepWrite(0, b""))
        with suppress(FutureTimeoutError, CancelledError):  # the store is away, or the turn ended
            written.result(STORED_SECONDS)
        return event_id

    def _await(
        self, key: SessionKey, posted: PostedSteer, steer_id: str, wakeup: Wakeup
    ) -> EventId:
        """Wait for the event; raises RequestError once it is known that there will be none."""
        reading = _Reading(self._store, key, posted.turn, steer_id, posted.after)
        again_at = time.monotonic() + AGAIN_SECONDS
        withdraws_at = time.monotonic() + STEER_WAIT_SECONDS
        # One that was taken is decided on by its worker, or by the one that finds it dead.
        over_at = withdraws_at + 2 * self._lease_seconds
        while time.monotonic() < over_at:
            wakeup.wait(LOOK_SECONDS)
            waits = self._store.has_steer(key, posted.turn, steer_id)
            if time.monotonic() >= again_at:
                # It was posted before, by a client that got no answer.
                reading, again_at = _Reading(self._store, key, posted.turn, steer_id), over_at
            event_id = reading.look()  # behind it: what is gone has its event, or has none
            if event_id is not None:
                return event_id
            if not waits:
                raise refusal("not_steerable")
            if time.monotonic() >= withdraws_at and self._store.withdraw_steer(
                key, posted.turn, steer_id
            ):
                raise refusal("not_steerable")
        raise StoreUnavailable


class _Reading:
    """Looks for one message's event in a turn's journal; used by one thread."""

    def __init__(
        self,
        store: Store,
        key: SessionKey,
        turn: int,
        steer_id: str,
        after: EventId | None = None,
    ) -> None:
        self._store = store
        self._key = key
        self._turn = turn
        self._after = after or EventId(turn, 0)
        self._steer_id = steer_id
        self._name = steer_id.encode()

    def look(self) -> EventId | None:
        """Read on; the event's id if it is there."""
        while True:
            found = self._store.read(self._key, self._after, _EVENTS_AT_ONCE)
            own = [one for one in found.events if one[0].turn == self._turn] if found else []
            for event_id, json in own:
                if self._name in json and self._is_it(json):
                    return event_id
                if event_id.seq < LOST_SEQ:
                    self._after = event_id
            if not own or own[-1][0].seq == LOST_SEQ:
                return None

    def _is_it(self, json: bytes) -> bool:
        with suppress(msgspec.MsgspecError):
            event = decode_event(json)
            if isinstance(event, Steered) and event.status == "waiting":
                return event.steer_id == self._steer_id
        return False
