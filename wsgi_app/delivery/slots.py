"""Stream slots: how many of a worker's threads may wait for events at once."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeVar

from wsgi_app.delivery.full import no_slot_left, no_stream_left
from wsgi_app.delivery.server import ServerFacts
from wsgi_app.errors import RequestError
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey

T = TypeVar("T")

#: How a stream may reach its client: drained by its request's thread, parked, or parked once no
#: thread is free for streams.
Delivery = Literal["thread", "parked", "auto"]


def default_slots(threads: int) -> int:
    """Threads minus a reserve of max(2, an eighth), at least 1.

    The reserve keeps cancel, health and the site's own pages from queuing behind streams: a gthread
    worker accepts connections up to ``worker_connections``, not up to its free threads.
    """
    return max(1, threads - max(2, threads // 8))


class _InUse:
    """Slots taken in this process, by all hosts in it together, since they share its threads.

    Touched by every request thread and the io loops; ``lock`` guards the counts.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pid = 0
        self.total = 0
        self.threads = 0
        self.by_tenant: Counter[str] = Counter()
        self.by_session: Counter[SessionKey] = Counter()

    def reset_after_fork(self) -> None:
        if self.pid != os.getpid():
            self.pid, self.total, self.threads = os.getpid(), 0, 0
            self.by_tenant.clear()
            self.by_session.clear()


_in_use = _InUse()


class Slot:
    """One reader's place in its worker; given back by any thread, once."""

    def __init__(self, keys: Sequence[SessionKey], *, parked: bool) -> None:
        self._keys = keys
        self._taken = True
        #: Whether it comes without a thread: its stream is to be parked.
        self.parked = parked

    def hold_thread(self) -> None:
        """The stream could not be parked: its request's thread drains it."""
        with _in_use.lock:
            if self._taken and self.parked:
                self.parked = False
                _in_use.threads += 1

    def give_back(self) -> None:
        """Make room for the next reader; may be called twice."""
        with _in_use.lock:
            if not self._taken:
                return
            self._taken = False
            _in_use.total -= 1
            _in_use.threads -= not self.parked
            _uncount(_in_use.by_tenant, self._keys[0].tenant)
            for key in self._keys:
                _uncount(_in_use.by_session, key)
        metrics().streams.dec()


class StreamSlots:
    """One host's view of the worker's slots.

    Touched by every request thread; the counts are guarded by their own lock.
    """

    def __init__(
        self, slots: int | None, max_streams: int, max_per_tenant: int, max_per_session: int
    ) -> None:
        self._slots = slots
        self._max_streams = max_streams
        self._max_per_tenant = max_per_tenant
        self._max_per_session = max_per_session
        self._server: ServerFacts | None = None
        self._learned = slots is not None

    def learn(self, server: ServerFacts | None) -> None:
        """Take the number from the server, unless a setting named it."""
        if not self._learned and server is not None:
            self._learned = True
            self._server = server
            self._slots = None if server.threads is None else default_slots(server.threads)

    def tell(self) -> None:
        """Have the metrics know the number, in this process."""
        metrics().stream_slots.set(self._slots or 0)

    @property
    def known(self) -> bool:
        """Whether the number of slots is known, be it "no bound"."""
        return self._learned

    def count(self) -> tuple[int, int | None]:
        """How many threads stream in this process, and how many may; None is no bound."""
        with _in_use.lock:
            _in_use.reset_after_fork()
            return _in_use.threads, self._slots

    def take(self, keys: Sequence[SessionKey], delivery: Delivery = "thread") -> Slot:
        """Take a slot for a reader of these sessions, which are one tenant's.

        A session has one turn that runs, so that its readers are those of a turn. Raises
        RequestError ``at_capacity`` or ``too_many_readers``.
        """
        tenant = keys[0].tenant
        with _in_use.lock:
            _in_use.reset_after_fork()
            no_thread = self._slots is not None and _in_use.threads >= self._slots
            if _in_use.total >= self._max_streams:
                raise no_stream_left(self._max_streams)
            if no_thread and delivery == "thread":
                raise no_slot_left(self._slots or 0, self._server)
            if _in_use.by_tenant[tenant] >= self._max_per_tenant:
                raise RequestError("too_many_readers", "This tenant has too many readers.")
            if any(_in_use.by_session[key] >= self._max_per_session for key in keys):
                raise RequestError("too_many_readers", "This turn has too many readers.")
            parked = delivery == "parked" or (no_thread and delivery == "auto")
            _in_use.total += 1
            _in_use.threads += not parked
            _in_use.by_tenant[tenant] += 1
            _in_use.by_session.update(keys)
        metrics().streams.inc()
        return Slot(keys, parked=parked)


def _uncount(counts: Counter[T], name: T) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
