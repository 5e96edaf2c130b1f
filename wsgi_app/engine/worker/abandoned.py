"""Agents' code that continues although its turn has ended."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.worker.run_table import RunTable
from wsgi_app.errors import RequestError

#: More agent threads than this that continue after their turn's end make the worker not ready.
MAX_ABANDONED_THREADS: Final = 16
#: The most that one tenant's count for that while turns of others run, which would have to end.
MAX_COUNTED_PER_TENANT: Final = MAX_ABANDONED_THREADS // 2
#: But threads that have gone on for so long do not end by themselves.
STUCK_AFTER_SECONDS: Final = 300.0
#: What an agent's code may take behind its turn's end before it takes its tenant's place.
ENDING_SECONDS: Final = 0.25
#: How long an agent may take to notice its turn's end before its thread counts as abandoned.
ABANDONED_AFTER_SECONDS: Final = 5.0


class Abandoned:
    """Counts such code by its tenants. Used by any thread; the table of runs guards itself."""

    def __init__(self, runs: RunTable, max_turns_per_tenant: int) -> None:
        self._runs = runs
        self._max_turns_per_tenant = max_turns_per_tenant

    def check_abandoned(self, tenant: str) -> None:
        """Refuse a tenant if code of its ended turns uses all that it may run on this worker."""
        most = self._max_turns_per_tenant
        all_of_it, overdue = self._runs.count_leaving(tenant, most, ENDING_SECONDS)
        if overdue >= most or all_of_it >= 2 * most:
            message = "This tenant's ended turns have not stopped yet; wait."
            raise RequestError("too_many_turns", message)

    def count(self) -> int:
        """Count agent threads that continue although their turn has ended a while ago."""
        return len(self._older_than(ABANDONED_AFTER_SECONDS))

    @property
    def is_clogged(self) -> bool:
        """Whether so many of them continue that this worker should be replaced."""
        counts = Counter(run.fence.key.tenant for run in self._older_than(ABANDONED_AFTER_SECONDS))
        running = {run.fence.key.tenant for run in self._runs.all() if not run.ended}
        counted = sum(
            min(count, MAX_COUNTED_PER_TENANT) if running - {tenant} else count
            for tenant, count in counts.items()
        )
        if counted > MAX_ABANDONED_THREADS:
            return True
        most = min(MAX_COUNTED_PER_TENANT, self._max_turns_per_tenant)
        return len(self._older_than(STUCK_AFTER_SECONDS)) >= most

    def _older_than(self, seconds: float) -> list[TurnRun]:
        ended_before = time.monotonic() - seconds
        return [run for run in self._runs.prune() if run.ended_at < ended_before]
