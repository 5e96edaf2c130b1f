"""Stream slots: how many of a worker's threads may wait for events at once."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, Optional, TypeVar

from msgspec import Struct

from wsgi_app.config import Settings
from wsgi_app.delivery.full import no_slot_left, no_stream_left
from wsgi_app.delivery.server import ServerFacts
from wsgi_app.errors import RequestError
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey

if TYPE_CHECKING:
    from wsgi_app.metrics.definitions import Metrics

T = TypeVar("T")
#: Fewer are not divided: a reader that comes back may be there before its slot is free.
MIN_SHARED_SLOTS: Final = 4
#: No tenant's name.
_STRANGERS: Final = ""

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
        #: Threads that wait for what others have started, by tenant.
        self.waiting: Counter[str] = Counter()
        #: Tenants that have a permit of the reserve.
        self.permits: set[str] = set()
        self.by_tenant: Counter[str] = Counter()
        self.by_session: Counter[SessionKey] = Counter()

    def reset_after_fork(self) -> None:
        if self.pid != os.getpid():
            self.pid, self.total, self.threads = os.getpid(), 0, 0
            for counts in (self.waiting, self.permits, self.by_tenant, self.by_session):
                counts.clear()


_in_use = _InUse()


class Slot(Struct, eq=False):
    """One reader's slot in its worker; returned by any thread, once."""

    _host: str
    _keys: Sequence[SessionKey]
    _tenant: str
    #: Whether it comes without a thread: its stream is to be parked.
    parked: bool
    #: Whether it is a turn's own: those are bounded by the tenant's turns.
    _starts: bool
    _share: Optional[int]
    _taken: bool = True

    def hold_thread(self) -> None:
        """The stream could not be parked: its request's thread drains it."""
        with _in_use.lock:
            if self._taken and self.parked:
                self.parked = False
                _in_use.threads += 1
                if not self._starts:
                    _in_use.waiting[self._tenant] += 1

    def follow(self) -> None:
        """Turn into a slot for a turn that another request has started; raises RequestError."""
        with _in_use.lock:
            if not self._starts:
                return
            if not self.parked:
                _check_share(self._tenant, self._share)
                _in_use.waiting[self._tenant] += 1
            self._starts = False

    def give_back(self) -> None:
        """Make room for the next reader; may be called twice."""
        with _in_use.lock:
            if not self._taken:
                return
            self._taken = False
            _in_use.total -= 1
            if not self.parked:
                _in_use.threads -= 1
                if not self._starts:
                    _uncount(_in_use.waiting, self._tenant)
            _uncount(_in_use.by_tenant, self._tenant)
            for key in self._keys:
                _uncount(_in_use.by_session, key)
        metrics(self._host).streams.dec()


class Permit:
    """A thread's leave to wait for a moment; returned by any thread, once."""

    def __init__(self, give_back: Callable[[], None] = lambda: None) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def give_back(self) -> None:
        """Make room for the next one; may be called twice."""
        with _in_use.lock:
            give_back, self._give_back = self._give_back, None
            if give_back is not None:
                give_back()


class StreamSlots:
    """One host's view of the worker's slots.

    Touched by every request thread; the counts are guarded by their own lock.
    """

    def __init__(self, settings: Settings) -> None:
        self._host = settings.host
        self._metrics: Metrics | None = None
        self._slots = settings.stream_slots
        #: Of the slots, for readers that start no turn; None is the half.
        self._slots_per_tenant = settings.max_slots_per_tenant
        self._permits = 1
        self._max_streams = settings.max_streams
        self._max_per_tenant = settings.max_readers_per_tenant
        self._max_per_session = settings.max_readers_per_turn
        self._server: ServerFacts | None = None
        self._learned = self._slots is not None
        #: How many threads one tenant's readers that start no turn may hold; None is no bound.
        self.share = self._share_of_slots()

    def learn(self, server: ServerFacts | None) -> None:
        """Take the number from the server, unless a setting named it."""
        if server is None:
            return
        if not self._learned:
            self._learned = True
            self._server = server
            self._slots = None if server.threads is None else default_slots(server.threads)
            self.share = self._share_of_slots()
        if self._slots is not None and server.threads is not None:
            self._permits = max(1, (server.threads - self._slots) // 2)

    def publish_count(self) -> None:
        """Set the metric of this process's slots."""
        self._metrics = metrics(self._host)
        self._metrics.stream_slots.set(self._slots or 0)

    @property
    def known(self) -> bool:
        """Whether the number of slots is known, even if it is "no bound"."""
        return self._learned

    def count(self) -> tuple[int, int | None]:
        """How many threads stream in this process, and how many may; None is no bound."""
        with _in_use.lock:
            _in_use.reset_after_fork()
            return _in_use.threads, self._slots

    def _share_of_slots(self) -> int | None:
        if self._slots is None:
            return None
        if self._slots < MIN_SHARED_SLOTS:
            return self._slots_per_tenant or self._slots
        return self._slots_per_tenant or (self._slots + 1) // 2

    def take(
        self, keys: Sequence[SessionKey], delivery: Delivery = "thread", *, starts: bool = False
    ) -> Slot:
        """Take a slot for a reader of these sessions, which are one tenant's.

        Only one turn of a session runs, so that its readers are that turn's. ``starts``: whether
        the reader starts it. Raises RequestError ``at_capacity`` or ``too_many_readers``.
        """
        tenant = keys[0].tenant
        with _in_use.lock:
            if _in_use.pid != os.getpid():
                _in_use.reset_after_fork()
            no_thread = self._slots is not None and _in_use.threads >= self._slots
            if _in_use.total >= self._max_streams:
                raise no_stream_left(self._max_streams)
            if no_thread and delivery == "thread":
                raise no_slot_left(self._slots or 0, self._server)
            if _in_use.by_tenant[tenant] >= self._max_per_tenant:
                raise RequestError("too_many_readers", "This tenant has too many readers.")
            for key in keys:
                if _in_use.by_session[key] >= self._max_per_session:
                    raise RequestError("too_many_readers", "This turn has too many readers.")
            share = None if starts else self.share
            if delivery == "thread" and share is not None:
                _check_share(tenant, share)
            full = no_thread or (share is not None and _in_use.waiting[tenant] >= share)
            parked = delivery == "parked" or (full and delivery == "auto")
            _in_use.total += 1
            _in_use.threads += not parked
            if not (parked or starts):
                _in_use.waiting[tenant] += 1
            _in_use.by_tenant[tenant] += 1
            _in_use.by_session.update(keys)
        (self._metrics or metrics(self._host)).streams.inc()
        return Slot(self._host, keys, tenant, parked, starts, self.share)

    def take_permit(self, tenant: str | None) -> Permit | None:
        """Take a permit for a wait that is short, or for a large answer; None if there is none.

        It is a slot of the tenant's share, or, for one thread of each tenant, in half of the
        reserve. ``tenant`` None stands for all that need no login: together they have a quarter of
        a share.
        """
        share = self.share
        if tenant is None:
            tenant, share = _STRANGERS, share and max(1, share // 4)
        if self._slots is None or share is None:
            return Permit()
        with _in_use.lock:
            _in_use.reset_after_fork()
            if _in_use.threads < self._slots and _in_use.waiting[tenant] < share:
                _in_use.threads += 1
                _in_use.waiting[tenant] += 1
                return Permit(lambda: _leave_slot(tenant))
            if tenant in _in_use.permits or len(_in_use.permits) >= self._permits:
                return None
            _in_use.permits.add(tenant)
            return Permit(lambda: _in_use.permits.discard(tenant))


def _check_share(tenant: str, share: int | None) -> None:
    """Refuse one more waiting reader of a tenant; the caller has the lock."""
    if share is not None and _in_use.waiting[tenant] >= share:
        raise RequestError("too_many_readers", "This tenant has too many readers on this worker.")


def _leave_slot(tenant: str) -> None:
    _in_use.threads -= 1
    _uncount(_in_use.waiting, tenant)


def _uncount(counts: Counter[T], name: T) -> None:
    counts[name] -= 1
    if counts[name] <= 0:
        del counts[name]
