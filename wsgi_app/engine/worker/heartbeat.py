"""Renews this worker's lease, and ends the turns of workers that have lost theirs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from wsgi_app.config import Settings
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.turn.failures import WORKER_LOST_JSON, WORKERS_LOST_JSON, lost_messages
from wsgi_app.engine.turn.report import report_lost
from wsgi_app.engine.worker.takeover import Takeover
from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.base import Fence, Heartbeat, SessionKey, Store, WorkerInfo

log = logging.getLogger("wsgi_app")

#: Renewals in a lease: one may be late and one fail before the lease is over.
RENEWALS_PER_LEASE = 10 / 3
#: How often a worker reports its turns while somebody watches.
REPORT_SECONDS = 1.0
#: Thousands of turns at one go would hold up the worker's streams for a tenth of a second
#: (measured, `make bench WORK=page`).
RENEWED_AT_ONCE = 100
PAUSE_SECONDS = 0.02
#: How much of a lease may pass in such small parts; then the rest is renewed in one.
GENTLE_SHARE = 0.2


class HeartbeatSource(Protocol):
    """What a heartbeat gets from its worker, and brings to it."""

    def fences(self) -> list[Fence]:
        """The turns that the worker runs or lets wait."""

    def followed_sessions(self) -> list[SessionKey]:
        """The sessions that its readers follow."""

    def info(self) -> WorkerInfo:
        """What it reports about itself."""

    def take_heartbeat(self, beat: Heartbeat) -> None:
        """What the store says of the turns."""

    def close_idle(self) -> None:
        """Close what has not been used for a while."""


class HeartbeatThread:
    """One thread that sends the worker's heartbeat.

    `start`, `sign_on`, `beat_soon` and `settle` are called from any thread; ``_lock`` guards the
    start.
    """

    def __init__(
        self,
        store: Store,
        worker_id: str,
        settings: Settings,
        worker: HeartbeatSource,
        takeover: Takeover | None = None,
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._lease_seconds = settings.lease_seconds
        self._host = settings.host
        self._log_format = settings.log_format
        self._worker = worker
        self._takeover = takeover
        #: The lost workers that a thread looks after; each adds and takes one name at a time.
        self._looked_after: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wakeup = Wakeup()
        self._stopping = False
        self._registered = False
        #: Whether `start` has nothing left to do.
        self.has_started = False
        self._observed = False
        #: Since when the store has always answered, on `time.monotonic`; None while it does not.
        self._up_since: float | None = None

    def start(self) -> None:
        """Register the worker before its first turn; raises StoreUnavailable."""
        if not self._registered or self._thread is None:
            self._beat()
            self.sign_on()
        self.has_started = True

    def sign_on(self) -> None:
        """Register the worker as soon as the store answers; does not wait for it."""
        with self._lock:
            if self._thread is None and not self._stopping:
                self._thread = start_thread(self._run, "heartbeat")

    def look_after_others(self) -> None:
        """Sign on before the first turn, if other workers' turns are continued here."""
        if self._takeover is not None:
            self.sign_on()

    def beat_soon(self) -> None:
        """Renew now: signals may have been lost, and the flags are to be read again."""
        self._wakeup.set()

    def settle(self, key: SessionKey) -> bool:
        """Go on with the session's turns that no living worker owns, or end them; whether any were.

        Judges only once the store has been up for a whole lease: until then the living may not
        have had a chance to renew. Raises StoreUnavailable.
        """
        if not self._may_judge():
            return False
        taken = self._takeover.take_in(key) if self._takeover is not None else 0
        lost = self._store.settle_session(
            key, WORKER_LOST_JSON, lost_messages, again=WORKERS_LOST_JSON
        )
        report_lost(lost, self._host, self._log_format)
        return bool(lost or taken)

    def stop(self, timeout_seconds: float, *, hands_over: bool = False) -> None:
        """End the thread and sign off, once; ``hands_over``: others should continue its turns."""
        if self._stopping:
            return
        self._stopping = True
        self._wakeup.set()
        if self._thread is None:
            return
        self._thread.join(timeout_seconds)
        resumes = self._store.resumes
        try:
            if hands_over and resumes is not None:
                resumes.declare_lost(self._worker_id)
            else:
                self._store.leave(self._worker_id)
        except StoreUnavailable:
            log.warning("the store does not answer; this worker's lease runs out by itself")

    def _run(self) -> None:
        pause_seconds = self._lease_seconds / RENEWALS_PER_LEASE
        if not self._registered:
            self._guard(self._beat)
        self._guard(self._end_lost_workers)  # this one may be in the place of one that is gone
        self._guard(self._warn)
        while not self._stopping:
            self._wakeup.wait(
                min(pause_seconds, REPORT_SECONDS) if self._observed else pause_seconds
            )
            self._guard(self._beat)
            self._guard(self._end_lost_workers)
            self._guard(self._worker.close_idle)

    def _guard(self, act: Callable[[], None]) -> None:
        if self._stopping:
            return
        try:
            act()
        except StoreUnavailable:
            self._up_since = None
        except Exception:
            # A worker without heartbeat would lose its turns.
            log.exception("the worker's heartbeat failed")

    def _beat(self) -> None:
        beat = self._renew(self._worker.fences(), self._worker.followed_sessions())
        self._registered = True
        if self._up_since is None:
            self._up_since = time.monotonic()
        if beat.observed and not self._observed:
            self._wakeup.set()
        self._observed = beat.observed
        self._worker.take_heartbeat(beat)

    def _renew(self, fences: Sequence[Fence], following: Sequence[SessionKey]) -> Heartbeat:
        info = self._worker.info()
        gentle_until = time.monotonic() + GENTLE_SHARE * self._lease_seconds
        followed: dict[SessionKey, str] = {}
        whole = Heartbeat({}, [], followed=followed)
        done = 0
        while True:
            gentle = time.monotonic() < gentle_until
            part = slice(done, done + RENEWED_AT_ONCE if gentle else None)
            beat = self._store.heartbeat(self._worker_id, fences[part], following[part], info)
            whole.cancels.update(beat.cancels)
            whole.fenced.extend(beat.fenced)
            followed.update(beat.followed)
            done += RENEWED_AT_ONCE
            if not gentle or done >= max(len(fences), len(following)):
                return whole._replace(observed=beat.observed)
            time.sleep(PAUSE_SECONDS)

    def _warn(self) -> None:
        try:
            self._store.ping()
        except StoreUnavailable as error:
            if error.reason:
                log.error("%s", error.reason)  # noqa: TRY400 - the reason says it all
        for warning in self._store.warnings():
            log.warning("%s", warning)

    def _end_lost_workers(self) -> None:
        resumes = self._store.resumes if self._takeover is not None else None
        gone = set(resumes.gone_workers()) if resumes is not None else set()
        lost = gone | set(self._store.lost_workers() if self._may_judge() else ())
        for worker_id in lost - {self._worker_id} - self._looked_after:
            self._looked_after.add(worker_id)
            # Not in this thread: the heartbeat continues while many turns are taken.
            start_thread(partial(self._look_after, worker_id), "takeover")

    def _look_after(self, worker_id: str) -> None:
        """Go on with what a lost worker has left, and end the rest."""
        try:
            taken = self._takeover.take_from(worker_id) if self._takeover is not None else 0
            lost = self._store.mark_lost(
                worker_id, WORKER_LOST_JSON, lost_messages, again=WORKERS_LOST_JSON
            )
            report_lost(lost, self._host, self._log_format)
            message = "worker %s is lost, with %d turns; %d others continue here"
            log.warning(message, worker_id, len(lost), taken)
        except StoreUnavailable:
            self._up_since = None
        except Exception:
            log.exception("the turns of worker %s cannot be ended", worker_id)
        finally:
            self._looked_after.discard(worker_id)

    def _may_judge(self) -> bool:
        up_since = self._up_since
        return up_since is not None and time.monotonic() - up_since >= self._lease_seconds
