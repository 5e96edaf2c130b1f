"""Stream slots: how many of a worker's threads may wait for events at once."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from wsgi_app.delivery.server import ServerFacts
from wsgi_app.errors import RequestError
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey

T = TypeVar("T")


def default_slots(threads: int) -> int:
    """Threads minus a reserve of max(2, an eighth), at least 1.

    The reserve keeps cancel, health and the site's own pages from queuing behind streams: a gthread
    worker accepts connections up to ``worker_connections``, not up to its free threads.
    """
    return max(1, threads - max(2, threads // 8))


class _InUse:
    """Slots taken in this process, by all hosts in it together, since they share its threads.

    Touched by every request thread; ``lock`` guards the counts.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pid = 0
        self.total = 0
        self.by_tenant: Counter[str] = Counter()
        self.by_session: Counter[SessionKey] = Counter()

    def reset_after_fork(self) -> None:
        if self.pid != os.getpid():
            self.pid, self.total = os.getpid(), 0
            self.by_tenant.clear()
            self.by_session.clear()


_in_use = _InUse()


class StreamSlots:
    """One host's view of the worker's slots.

    Touched by every request thread; the counts are guarded by their own lock.
    """

    def __init__(self, slots: int | None, max_per_tenant: int, max_per_session: int) -> None:
        self._slots = slots
        self._max_per_tenant = max_per_tenant
        self._max_per_session = max_per_session
        self._learned = slots is not None

    def learn(self, server: ServerFacts | None) -> None:
        """Take the number from the server, unless a setting named it."""
        if not self._learned and server is not None:
            self._learned = True
            self._slots = None if server.threads is None else default_slots(server.threads)

    def tell(self) -> None:
        """Have the metrics know the number, in this process."""
        metrics().stream_slots.set(self._slots or 0)

    @property
    def known(self) -> bool:
        """Whether the number of slots is known, be it "no bound"."""
        return self._learned

    def count(self) -> tuple[int, int | None]:
        """How many slots are taken in this process, and of how many; None is no bound."""
        with _in_use.lock:
            _in_use.reset_after_fork()
            return _in_use.total, self._slots

    def take(self, keys: Sequence[SessionKey]) -> None:
        """Take a slot for a reader of these sessions, which are one tenant's.

        A session has one turn that runs, so that its readers are those of a turn. Raises
        RequestError ``at_capacity`` or ``too_many_readers``.
        """
        tenant = keys[0].tenant
        with _in_use.lock:
            _in_use.reset_after_fork()
            if self._slots is not None and _in_use.total >= self._slots:
                raise RequestError("at_capacity", "All stream slots of this worker are taken.")
            if _in_use.by_tenant[tenant] >= self._max_per_tenant:
                raise RequestError("too_many_readers", "This tenant has too many readers.")
            if any(_in_use.by_session[key] >= self._max_per_session for key in keys):
                raise RequestError("too_many_readers", "This turn has too many readers.")
            _in_use.total += 1
            _in_use.by_tenant[tenant] += 1
            _in_use.by_session.update(keys)
        metrics().streams.inc()

    def give_back(self, keys: Sequence[SessionKey]) -> None:
        """Give a slot back."""
        with _in_use.lock:
            _in_use.total -= 1
            _uncount(_in_use.by_tenant, keys[0].tenant)
            for key in keys:
                _uncount(_in_use.by_session, key)
        metrics().streams.dec()


def _uncount(counts: Counter[T], name: T) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
