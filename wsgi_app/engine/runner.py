"""The turns of this worker: admission, look-up, cancel."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from wsgi_app.config import Settings
from wsgi_app.engine.journal import Journal
from wsgi_app.engine.loop import LoopThread
from wsgi_app.engine.run import Services, TurnOrder, TurnRun
from wsgi_app.errors import RequestError, StoreUnavailable
from wsgi_app.events import CancelReason
from wsgi_app.store.base import BeginTurn, Fence, SessionKey, Signal, Store

log = logging.getLogger("wsgi_app")

#: More agent threads than this that go on after their turn's end make the worker not ready.
MAX_ABANDONED_THREADS = 16
#: How long an agent may take to notice its turn's end before its thread counts as abandoned.
ABANDONED_AFTER_SECONDS = 5.0
#: The longest that a cancel request waits for the end.
CANCEL_WAIT_SECONDS = 1.0


class BegunTurn(NamedTuple):
    """A turn to read; ``run`` is None for an earlier one that the request attaches to."""

    turn: int
    run: TurnRun | None


class Runner:
    """All turns that this worker runs.

    Touched by every request thread and by the store's signals; ``_lock`` guards the registry, and
    is not held over calls to the store or to a run.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._io = LoopThread("io")
        self._agents = LoopThread("agents")
        self._journal = Journal(store)
        workdir = settings.workdir or Path(tempfile.gettempdir()) / "wsgi_app"
        self._services = Services(settings, store, self._journal, self._io, self._agents, workdir)
        self._lock = threading.Lock()
        self._runs: dict[tuple[SessionKey, int], TurnRun] = {}
        self._leaving: set[TurnRun] = set()
        store.listen(self._on_signal)

    def begin(self, request: BeginTurn, order: TurnOrder) -> BegunTurn:
        """Claim the session's next turn; its run waits for `TurnRun.start`.

        Raises RequestError when this worker or the store refuses; nothing was begun then.
        """
        if self._count_runs() >= self.settings.max_turns:
            raise RequestError("at_capacity", "This worker runs as many turns as it may.")
        begun = self.store.begin_turn(request)
        if begun.state == "attached":
            return BegunTurn(begun.turn, None)
        fence = Fence(request.key, begun.turn, request.run_id)
        history = begun.history if begun.state == "started" else None
        run = TurnRun(fence, order, self._services, history)
        with self._lock:
            self._runs[request.key, begun.turn] = run
        self._journal.add(run)
        return BegunTurn(begun.turn, run)

    def find(self, key: SessionKey, turn: int) -> TurnRun | None:
        """Find a turn that this worker runs, until its end is out."""
        with self._lock:
            run = self._runs.get((key, turn))
            if run is not None and run.published.is_set():
                # Its readers hold it; whoever comes later reads the store.
                del self._runs[key, turn]
                self._leaving.add(run)
                return None
            return run

    def cancel(self, key: SessionKey, turn: int | None, reason: CancelReason) -> list[int]:
        """End the named turn, or all that run and wait, and wait a second for the end.

        Answers their numbers, lowest first. Turns of this worker end without the store; raises
        StoreUnavailable only if there is none of them.
        """
        local = self._session_runs(key, turn)
        # Backwards, so that no waiting turn starts because the one before it ended.
        cancelled = [run for run in reversed(local) if run.cancel(reason)]
        numbers = {run.fence.turn for run in cancelled}
        try:
            stored = self.store.request_cancel(key, turn, reason)
        except StoreUnavailable:
            if not numbers:
                raise
            stored = []
        numbers.update(set(stored) - {run.fence.turn for run in local})
        deadline = time.monotonic() + CANCEL_WAIT_SECONDS
        for run in cancelled:
            run.wait_ended(max(0.0, deadline - time.monotonic()))
        return sorted(numbers)

    def delete_session(self, key: SessionKey) -> bool:
        """End what runs and forget the session; False for an unknown one."""
        self.cancel(key, None, "deleted")
        return self.store.delete_session(key)

    @property
    def warnings(self) -> list[str]:
        """What is not wrong but not right."""
        abandoned = self.count_abandoned()
        if not abandoned:
            return []
        return [f"{abandoned} agent threads go on after their turn has ended"]

    def count_abandoned(self) -> int:
        """Count agent threads that go on although their turn has ended a while ago."""
        now = time.monotonic()
        return sum(run.ended_at + ABANDONED_AFTER_SECONDS < now for run in self._prune())

    def _count_runs(self) -> int:
        leaving = self._prune()
        with self._lock:
            return len(self._runs) + len(leaving)

    def _prune(self) -> list[TurnRun]:
        """Forget ended runs; answers those whose thread still goes on."""
        with self._lock:
            for place, run in list(self._runs.items()):
                if run.published.is_set():
                    del self._runs[place]
                    self._leaving.add(run)
            self._leaving = {
                run for run in self._leaving if run.thread is not None and run.thread.is_alive()
            }
            return list(self._leaving)

    def _session_runs(self, key: SessionKey, turn: int | None) -> list[TurnRun]:
        with self._lock:
            runs = [run for (owner, _), run in self._runs.items() if owner == key]
        runs.sort(key=lambda run: run.fence.turn)
        return [run for run in runs if turn in (None, run.fence.turn)]

    def _on_signal(self, signal: Signal) -> None:
        if signal.kind == "ended":
            for run in self._session_runs(signal.key, None):
                run.wake_queued()
            return
        found = self.find(signal.key, signal.turn)
        if found is None:
            return
        if signal.kind == "cancel":
            found.cancel(signal.value)  # type: ignore[arg-type] # the store sends what request_cancel took
        else:
            self._journal.hurry()
