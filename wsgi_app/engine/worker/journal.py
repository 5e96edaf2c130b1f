"""Writes the events of all running turns to the store, so that no turn waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from wsgi_app.compat.python import zip_strict
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.worker.journal_entry import Entry, JournaledTurn
from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.events import encode_event
from wsgi_app.metrics import metrics
from wsgi_app.store.base import Appended, Fence, JournalWrite, StepWrite, Store

log = logging.getLogger("wsgi_app")

#: How far the journal may be behind a turn that no other worker follows.
FLUSH_SECONDS = 0.25
#: What falls due within so long is written in one call.
GROUP_SECONDS = 0.05
#: Turns that are looked at in one round, however few they are.
MIN_LOOKS = 100
#: How long events of a followed turn are collected: its readers should see them within 50 ms.
FOLLOWED_SECONDS = 0.004
#: The most a terminal event waits for a store that does not answer.
FINISH_PATIENCE_SECONDS = 1.0
#: Bounds one turn's part of one call to the store.
MAX_EVENTS_PER_WRITE = 2000


class Journal:
    """One thread that carries the logs of this worker's turns to the store.

    `add`, `hurry`, `follow` and `check_orphan` are called from any thread; ``_lock`` guards the
    tables of turns. A round looks at the turns that are due, however many others there are.
    """

    def __init__(self, store: Store, host: str) -> None:
        self._store = store
        self._host = host
        self._lock = threading.Lock()
        self._entries: dict[Fence, Entry] = {}
        self._urgent: dict[Entry, None] = {}
        self._followed: dict[Entry, None] = {}
        #: All of them, by when each is looked at next.
        self._waiting: deque[tuple[float, Entry]] = deque()
        self._lag_seconds = 0.0
        self._reports_lag_at = 0.0
        self._wakeup = Wakeup()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def add(self, turn: JournaledTurn) -> None:
        """Write this turn's events from now on, until its terminal event is stored.

        One that ends before its first flush costs the store one write.
        """
        now = time.monotonic()
        entry = Entry(turn, turn.stored_before, now, now)
        with self._lock:
            self._entries[turn.fence] = entry
            was_idle = not self._waiting
            self._waiting.append((now + FLUSH_SECONDS, entry))
            if self._thread is None:
                self._thread = start_thread(self._run, "journal")
        if was_idle:
            self._wakeup.set()  # else it looks before this one is due

    def hurry(self, fence: Fence) -> None:
        """Write now: a tool, a question or an end must not wait for the next flush."""
        entry = self._entries.get(fence)
        if entry is not None:
            self._urge(entry)

    def follow(self, fence: Fence) -> None:
        """Write this turn's events within milliseconds: a reader on another worker waits."""
        with self._lock:
            entry = self._entries.get(fence)
            if entry is None or entry in self._followed:
                return
            self._followed[entry] = None
        entry.turn.log.add_waker(self._wakeup.set)
        if entry.is_behind():
            self._urge(entry)

    def record(self, fence: Fence, step: StepWrite) -> Future[None]:
        """Write a step's record, in order, behind all events so far; the future says when it is.

        Number 0 records nothing: its write shows that the turn is still this worker's. It waits for
        a store that does not answer; a turn that is fenced off ends.
        """
        written: Future[None] = Future()
        entry = self._entries.get(fence)
        if entry is None:
            written.cancel()  # it has ended
        else:
            entry.steps.append((step, written))
            self._urge(entry)
        return written

    def confirmed_seconds_ago(self, fence: Fence) -> float:
        """How long ago a write showed that the turn is this worker's."""
        entry = self._entries.get(fence)
        return float("inf") if entry is None else time.monotonic() - entry.confirmed_at

    def leave(self, fence: Fence) -> None:
        """Leave a turn that has not begun to other workers: nothing is to be written of it."""
        entry = self._entries.get(fence)
        if entry is not None:
            self._drop(entry)
            entry.turn.leave()

    def check_orphan(self, fence: Fence) -> None:
        """Ask the store whether another worker's readers follow the turn, and inform the turn."""
        entry = self._entries.get(fence)
        if entry is not None:
            entry.check_orphan = True
            self._urge(entry)

    def fences(self) -> list[Fence]:
        """The turns whose end the store does not know yet."""
        with self._lock:
            return list(self._entries)

    def stop(self, timeout_seconds: float) -> None:
        """Write what is there and end the thread."""
        self._stopping = True
        self._wakeup.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _urge(self, entry: Entry, *, wakes: bool = True) -> None:
        with self._lock:
            self._urgent[entry] = None
        if wakes:
            self._wakeup.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wakeup.wait(self._pause_seconds())
            try:
                self._run_round()
            except Exception:
                # Without this thread no turn of the worker would come to an end.
                log.exception("a round of the journal failed")
                time.sleep(FLUSH_SECONDS)

    def _pause_seconds(self) -> float | None:
        with self._lock:
            if not self._waiting:
                return None
            return max(GROUP_SECONDS, self._waiting[0][0] - time.monotonic())

    def _run_round(self) -> None:
        if self._followed and not self._stopping:
            time.sleep(FOLLOWED_SECONDS)  # collects what comes together
        now = time.monotonic()
        due = self._take_due(now)
        prepared = [one for one in map(self._prepare_safely, due) if one is not None]
        if prepared:
            results = self._store.write([write for _, write, _ in prepared])
            metrics(self._host).journal_write_seconds.observe(time.monotonic() - now)
            for (entry, write, ends), result in zip_strict(prepared, results):
                if isinstance(result, Appended):
                    entry.confirmed_at = now
                self._settle_safely(entry, write, result, ends=ends)
        self._report_lag(now, due)

    def _take_due(self, now: float) -> list[Entry]:
        """What is urgent, what another worker follows, and what was last looked at a while ago."""
        with self._lock:
            due, self._urgent = self._urgent, {}
            looked_at = list(self._entries.values() if self._stopping else self._followed)
            # Thousands at one go would hold up the worker's streams: a part in each round.
            for _ in range(MIN_LOOKS + len(self._waiting) // 4):
                if not self._waiting or self._waiting[0][0] > now:
                    break
                _, entry = self._waiting.popleft()
                if not entry.dropped:
                    looked_at.append(entry)
                    self._waiting.append((now + FLUSH_SECONDS, entry))
        for entry in looked_at:
            # An end that the store did not take is in no log yet.
            if entry.waits():
                due[entry] = None
            else:
                entry.caught_up_at = now
        return [entry for entry in due if entry.is_writable() and not entry.dropped]

    def _report_lag(self, now: float, written: Sequence[Entry]) -> None:
        """Each turn is checked once in `FLUSH_SECONDS`; the largest lag is the worker's."""
        for entry in written:
            if not entry.is_behind():
                entry.caught_up_at = now
            self._lag_seconds = max(self._lag_seconds, now - entry.caught_up_at)
        if now >= self._reports_lag_at or not self._entries:
            self._reports_lag_at = now + FLUSH_SECONDS
            metrics(self._host).journal_lag_seconds.set(self._lag_seconds if self._entries else 0.0)
            self._lag_seconds = 0.0

    def _prepare_safely(self, entry: Entry) -> tuple[Entry, JournalWrite, bool] | None:
        try:
            write, ends = self._prepare(entry)
        except Exception:
            log.exception("a turn cannot be written to the store")
            self._fail(entry)
            return None
        return entry, write, ends

    def _settle_safely(
        self,
        entry: Entry,
        write: JournalWrite,
        result: Appended | Fenced | StoreUnavailable,
        *,
        ends: bool,
    ) -> None:
        try:
            self._settle(entry, write, result, ends=ends)
        except (Fenced, StoreUnavailable):
            self._urge(entry, wakes=False)  # the next write reports it
        except Exception:
            log.exception("a turn cannot be written to the store")
            self._fail(entry)

    def _fail(self, entry: Entry) -> None:
        """One turn's fault must not stop the journal of all others."""
        if entry.failed:
            self._drop(entry)
            entry.turn.publish()
            return
        # Once more, with an end that is safe to write.
        entry.failed = True
        entry.turn.fail()
        self._urge(entry)

    @staticmethod
    def _prepare(entry: Entry) -> tuple[JournalWrite, bool]:
        turn = entry.turn
        # In this order: a log whose end is known no longer grows, and a step is recorded
        # behind all events that were there before it.
        terminal = turn.terminal
        step = entry.steps[0][0] if entry.steps else None
        logged = turn.log.read(entry.stored_seq, MAX_EVENTS_PER_WRITE)
        events = [numbered.json for numbered in logged]
        if terminal is None or len(events) == MAX_EVENTS_PER_WRITE:
            if len(events) == MAX_EVENTS_PER_WRITE:
                step = None  # behind all events alone
            return JournalWrite(turn.fence, entry.stored_seq + 1, events, None, step), False
        if not turn.log.ended:
            events.append(encode_event(terminal))
        messages = turn.closing_messages()
        return JournalWrite(turn.fence, entry.stored_seq + 1, events, messages), True

    def _settle(
        self,
        entry: Entry,
        write: JournalWrite,
        result: Appended | Fenced | StoreUnavailable,
        *,
        ends: bool,
    ) -> None:
        if isinstance(result, Fenced):
            entry.turn.fence_off()
            self._drop(entry)
            return
        if isinstance(result, StoreUnavailable):
            metrics(self._host).journal_errors.inc()
            self._release(entry, ends=ends)
            return
        entry.stored_seq = result.last_seq
        complete = result.last_seq >= write.first_seq + len(write.events) - 1
        if ends and complete:
            self._drop(entry)
            entry.turn.publish()
            return
        if not complete or len(write.events) == MAX_EVENTS_PER_WRITE:
            self._urge(entry)
        elif self._settle_step(entry, write.step):
            return
        if result.cancel is not None:
            entry.turn.cancel(result.cancel)
        if result.followed:
            self.follow(entry.turn.fence)
        elif entry in self._followed:
            self._unfollow(entry)
        if entry.check_orphan:
            entry.check_orphan = False
            entry.turn.orphan_checked(followed=result.followed)
        entry.turn.take_answer()

    def _settle_step(self, entry: Entry, step: StepWrite | None) -> bool:
        """Wake what waits for a step; hand the turn over if it is another worker's from now on."""
        if step is not None:
            entry.step_written(step)
        if entry.steps:
            self._urge(entry)
        leaves = entry.turn.leaving and not entry.is_behind()
        if leaves:
            self._drop(entry)
            entry.turn.leave()
        return leaves

    def _release(self, entry: Entry, *, ends: bool) -> None:
        """The store is away: nothing waits longer for it than `FINISH_PATIENCE_SECONDS`."""
        if entry.check_orphan:
            entry.check_orphan = False
            entry.turn.orphan_checked(followed=False)
        waited = ends and time.monotonic() - entry.turn.ended_at >= FINISH_PATIENCE_SECONDS
        if waited and not entry.is_out:
            entry.is_out = True
            entry.turn.publish()

    def _drop(self, entry: Entry) -> None:
        with self._lock:
            entry.dropped = True
            self._entries.pop(entry.turn.fence, None)
        self._unfollow(entry)

    def _unfollow(self, entry: Entry) -> None:
        with self._lock:
            self._followed.pop(entry, None)
        entry.turn.log.remove_waker(self._wakeup.set)
