"""Writes the events of all running turns to the store, so that no turn waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from wsgi_app.engine.log import EventLog, Wakeup
from wsgi_app.engine.threads import start_thread
from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.events import CancelReason, Terminal, encode_event
from wsgi_app.store.base import Fence, Message, Store

log = logging.getLogger("wsgi_app")

#: How far the journal may be behind a turn that no other worker follows.
FLUSH_SECONDS = 0.25
#: The most a terminal event waits for a store that does not answer.
FINISH_PATIENCE_SECONDS = 1.0
#: Bounds one call to the store.
MAX_EVENTS_PER_WRITE = 2000


class JournaledTurn(Protocol):
    """What the journal needs of a turn."""

    fence: Fence
    log: EventLog

    @property
    def terminal(self) -> Terminal | None: ...
    @property
    def ended_at(self) -> float: ...
    def cancel(self, reason: CancelReason) -> bool: ...
    def closing_messages(self) -> Sequence[Message]: ...
    def publish(self) -> None: ...
    def take_answer(self) -> None: ...


class Journal:
    """One thread that carries the logs of this worker's turns to the store.

    `add` and `hurry` are called from any thread; ``_lock`` guards the list of turns. How far each
    turn is written is known to the journal's own thread alone.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._turns: dict[JournaledTurn, int] = {}
        self._wakeup = Wakeup()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def add(self, turn: JournaledTurn) -> None:
        """Write this turn's events from now on, until its terminal event is stored."""
        with self._lock:
            self._turns[turn] = 0
            if self._thread is None:
                self._thread = start_thread(self._run, "journal")
        self._wakeup.set()

    def hurry(self) -> None:
        """Write now: a tool, a question or an end shall not wait for the next flush."""
        self._wakeup.set()

    def stop(self, timeout_seconds: float) -> None:
        """Write what is there and end the thread."""
        self._stopping = True
        self._wakeup.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._wakeup.wait(FLUSH_SECONDS if self._turns else None)
            stopping = self._stopping
            with self._lock:
                turns = list(self._turns.items())
            self._write_round(turns)

    def _write_round(self, turns: list[tuple[JournaledTurn, int]]) -> None:
        available = True
        for turn, stored_seq in turns:
            try:
                if available:
                    self._write(turn, stored_seq)
            except StoreUnavailable:
                # The others would wait for the same time limit, one after the other.
                available = False
            except Fenced:
                self._give_up(turn)
            except Exception:
                # One turn's fault must not stop the journal of all others.
                log.exception("a turn's events cannot be written to the store")
                self._give_up(turn)
            if not available:
                self._release(turn)

    @staticmethod
    def _release(turn: JournaledTurn) -> None:
        waited_seconds = time.monotonic() - turn.ended_at
        if turn.terminal is not None and waited_seconds >= FINISH_PATIENCE_SECONDS:
            turn.publish()

    def _give_up(self, turn: JournaledTurn) -> None:
        self._drop(turn)
        turn.cancel("interrupted")
        turn.publish()

    def _write(self, turn: JournaledTurn, stored_seq: int) -> None:
        turn.take_answer()
        terminal = turn.terminal
        entries = turn.log.read(stored_seq, MAX_EVENTS_PER_WRITE)
        events = [entry.json for entry in entries]
        if terminal is not None and len(events) < MAX_EVENTS_PER_WRITE:
            self._finish(turn, stored_seq, [*events, encode_event(terminal)])
        elif events:
            appended = self._store.append(turn.fence, stored_seq + 1, events)
            self._turns[turn] = appended.last_seq
            if appended.cancel is not None:
                turn.cancel(appended.cancel)
            if len(events) == MAX_EVENTS_PER_WRITE:
                self._wakeup.set()

    def _finish(self, turn: JournaledTurn, stored_seq: int, events: list[bytes]) -> None:
        messages = turn.closing_messages()
        last_seq = self._store.finish(turn.fence, stored_seq + 1, events, messages)
        if last_seq < stored_seq + len(events):
            self._turns[turn] = last_seq
            self._wakeup.set()
            return
        self._drop(turn)
        turn.publish()

    def _drop(self, turn: JournaledTurn) -> None:
        with self._lock:
            self._turns.pop(turn, None)
