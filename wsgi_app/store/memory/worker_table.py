"""The workers that a store in memory knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from wsgi_app.store.base import OBSERVED_SECONDS, Fence, StoreLimits, WorkerInfo, WorkerView


class _Beat(NamedTuple):
    """A worker's last heartbeat."""

    seen_at: float
    run_ids: frozenset[str]
    info: WorkerInfo


class WorkerTable:
    """Last heartbeats by worker; guarded by the store's lock."""

    def __init__(self, limits: StoreLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._beats: dict[str, _Beat] = {}
        self._observed_until = 0.0

    def note(self, worker_id: str, fences: Sequence[Fence], info: WorkerInfo | None) -> None:
        """Take a heartbeat that lists these turns."""
        run_ids = frozenset(fence.run_id for fence in fences)
        self._beats[worker_id] = _Beat(self._clock(), run_ids, info or WorkerInfo())

    def forget(self, worker_id: str) -> None:
        """The worker has gone."""
        self._beats.pop(worker_id, None)

    def living(self) -> list[WorkerView]:
        """Those whose lease holds, by their ids."""
        return [
            WorkerView(worker_id=worker_id, seen_at=beat.seen_at, info=beat.info)
            for worker_id, beat in sorted(self._beats.items())
            if beat.seen_at >= self._lease_ago()
        ]

    def observe(self) -> list[WorkerView]:
        """List the living workers for an operator, who observes them from now on."""
        self._observed_until = self._clock() + OBSERVED_SECONDS
        return self.living()

    @property
    def observed(self) -> bool:
        """Whether an operator has looked lately."""
        return self._clock() < self._observed_until

    def lost(self) -> list[str]:
        """Those whose lease has run out."""
        oldest = self._lease_ago()
        return [worker_id for worker_id, beat in self._beats.items() if beat.seen_at < oldest]

    def owns(self, worker_id: str, run_id: str, begun_at: float) -> bool:
        """Whether the worker is alive, and has listed the turn, or begun it since."""
        beat = self._beats.get(worker_id)
        lease_ago = self._lease_ago()
        if beat is None or beat.seen_at < lease_ago:
            return False
        return run_id in beat.run_ids or begun_at > lease_ago

    def _lease_ago(self) -> float:
        return self._clock() - self._limits.lease_seconds
