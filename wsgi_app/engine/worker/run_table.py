"""The runs of one worker, by session: those that begin, run or leave."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from typing import Final

from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.errors import RequestError, draining
from wsgi_app.events import CancelReason
from wsgi_app.store.base import SessionKey

#: How often all runs are looked through for ended ones while turns begin.
PRUNE_SECONDS: Final = 0.25


class RunTable:
    """Touched by every request thread and by the store's signals; ``_lock`` guards all of it."""

    def __init__(self, max_runs: int) -> None:
        self._max_runs = max_runs
        self._lock = threading.Lock()
        self._runs: dict[SessionKey, dict[int, TurnRun]] = {}
        self._count = 0
        #: Those that have ended, though their agents' code may go on; its size is read unguarded.
        self.leaving: set[TurnRun] = set()
        self._pruned_at = 0.0
        #: Whether no more runs may begin.
        self.closed = False
        # Cancels of turns that the store has begun, but this worker does not know yet.
        self._beginning: Counter[SessionKey] = Counter()
        #: How many of all these have no run yet, and of each session how many have one.
        self._begin_count = 0
        self._added: Counter[SessionKey] = Counter()
        self._early_cancels: defaultdict[SessionKey, dict[int, CancelReason]] = defaultdict(dict)

    def close(self) -> None:
        """Let no more runs begin."""
        with self._lock:
            self.closed = True

    @property
    def is_beginning(self) -> bool:
        """Whether a turn is just being begun in the store."""
        return bool(self._beginning)

    def begin(self, key: SessionKey) -> None:
        """Count a turn as one that begins, until `begun`; raises RequestError for one too many."""
        with self._lock:
            # In one step with the count: a drain sees every turn that is not refused.
            if self.closed:
                raise draining()
            is_looked_at = (
                self._count + self._begin_count + len(self.leaving) >= self._max_runs
                or time.monotonic() - self._pruned_at > PRUNE_SECONDS
            )
            if is_looked_at and self._is_full():
                raise RequestError("at_capacity", "This worker runs as many turns as it may.")
            self._beginning[key] += 1
            self._begin_count += 1

    def begun(self, key: SessionKey) -> None:
        """It has begun, or failed to begin."""
        with self._lock:
            if self._added[key]:
                self._added[key] -= 1
            else:
                self._begin_count -= 1
            self._beginning[key] -= 1
            if not self._beginning[key]:
                del self._beginning[key], self._added[key]
                self._early_cancels.pop(key, None)

    def add(self, run: TurnRun) -> CancelReason | None:
        """Add a run that has begun; returns why it was cancelled meanwhile, if it was."""
        key, turn = run.fence.key, run.fence.turn
        with self._lock:
            self._runs.setdefault(key, {})[turn] = run
            self._count += 1
            self._added[key] += 1
            self._begin_count -= 1
            return self._early_cancels.get(key, {}).get(turn)

    def note_cancel(self, key: SessionKey, turn: int, reason: CancelReason) -> TurnRun | None:
        """Find what to cancel; the cancel of a turn that is just beginning is kept for it."""
        with self._lock:
            run = self._runs.get(key, {}).get(turn)
            if run is None and key in self._beginning:
                self._early_cancels[key][turn] = reason
            return run

    def find(self, key: SessionKey, turn: int) -> TurnRun | None:
        """Find a run, until its end is out."""
        with self._lock:
            run = self._runs.get(key, {}).get(turn)
            if run is not None and run.published.is_set():
                # Its readers hold it; later ones read the store.
                self._move_out(run)
                return None
            return run

    def select(self, key: SessionKey, turn: int | None = None) -> list[TurnRun]:
        """The runs of a session, or one of them, in the order of their numbers."""
        with self._lock:
            runs = list(self._runs.get(key, {}).values())
        return sorted((r for r in runs if turn in (None, r.fence.turn)), key=lambda r: r.fence.turn)

    def all(self) -> list[TurnRun]:
        """Every run."""
        with self._lock:
            return self._all()

    def prune(self) -> list[TurnRun]:
        """Forget ended runs; returns those whose thread still runs."""
        with self._lock:
            self._prune()
            return list(self.leaving)

    def count_leaving(self, tenant: str, at_least: int, grace_seconds: float) -> tuple[int, int]:
        """Count a tenant's ended runs whose code continues: all, and those past the grace.

        (0, 0) where there are fewer of all tenants than ``at_least``, which costs nothing.
        """
        with self._lock:
            if len(self.leaving) < at_least:
                return 0, 0
            self.leaving = {run for run in self.leaving if run.goes_on()}
            mine = [run for run in self.leaving if run.fence.key.tenant == tenant]
        ended_before = time.monotonic() - grace_seconds
        return len(mine), sum(run.ended_at < ended_before for run in mine)

    # -- the caller has the lock

    def _prune(self) -> None:
        self._pruned_at = time.monotonic()
        for run in self._all():
            if run.published.is_set():
                self._move_out(run)
        self.leaving = {run for run in self.leaving if run.goes_on()}

    def _is_full(self) -> bool:
        self._prune()
        # Those that wait without a thread, of which as many again are allowed.
        resting = min(self._max_runs, sum(run.rests for run in self._all()))
        count = self._count + self._begin_count + len(self.leaving)
        return count - resting >= self._max_runs

    def _all(self) -> list[TurnRun]:
        return [run for runs in self._runs.values() for run in runs.values()]

    def _move_out(self, run: TurnRun) -> None:
        runs = self._runs[run.fence.key]
        del runs[run.fence.turn]
        if not runs:
            del self._runs[run.fence.key]
        self._count -= 1
        self.leaving.add(run)
