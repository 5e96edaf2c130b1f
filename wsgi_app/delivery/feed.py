"""One reader's way through a session's events: the journal first, then live, without a gap."""

from __future__ import annotations

import time
from collections.abc import Callable

from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.worker.runner import Runner
from wsgi_app.errors import RequestError, draining
from wsgi_app.events import (
    Cancelled,
    Done,
    Error,
    EventId,
    Gap,
    MarkedEvent,
    NumberedEvent,
    decode_event,
    encode_event,
)
from wsgi_app.store.base import JournalSlice, SessionKey

#: Bounds one read, so that a long backlog is taken in pieces.
MAX_EVENTS_PER_READ = 500
#: How often a turn of another worker is looked for beside the signals, and its owner's life.
STORE_POLL_SECONDS = 1.0


class Feed:
    """Everything after a cursor, then live, until the newest turn (or the one named) has ended.

    Read by one thread at a time; `wake` may be called by any. While a turn runs that it will read,
    it counts as one of that turn's readers, on any worker.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - where to read, what to sleep on
        self,
        runner: Runner,
        key: SessionKey,
        cursor: EventId,
        only_turn: int | None = None,
        run: TurnRun | None = None,
        wakeup: Wakeup | None = None,
        mark: str = "",
    ) -> None:
        """``wakeup``: the latch to sleep on, where its reader waits for other things too.

        ``mark``: of the run that the cursor is of, where the reader has one.
        """
        self._runner = runner
        self._key = key
        self._only_turn = only_turn
        self._wakeup = wakeup or Wakeup()
        self._run: TurnRun | None = None
        self._counted_at: TurnRun | None = None
        self._follows = False
        self._at_end_of_turn = False
        self._checked_at = time.monotonic()
        #: The id of the last event read, or where the reader asked to start.
        self.cursor = cursor
        #: Of the cursor's turn, as its reader knows it; '' for none.
        self._mark = mark
        #: Whether nothing more will come.
        self.ended = False
        # The caller's own run may have ended already, and its session be deleted.
        run = run or runner.find(key, cursor.turn)
        if run is not None and (not mark or mark == run.mark):
            self._open_log(run)

    def read(self, timeout_seconds: float) -> list[NumberedEvent]:
        """Take what is there, or wait for it; nothing if time is over, woken or ended.

        Raises StoreUnavailable, and RequestError: ``not_found`` when the session was deleted in
        mid-turn, ``draining`` when this worker is about to leave and the turn is another's, so that
        the reader continues elsewhere.
        """
        events = self._take_from_log() if self._run and not self.ended else None
        if events is None:
            events = self._take()
        if self._follows and self._runner.draining:
            raise draining()
        if events or self.ended:
            return events
        if timeout_seconds <= 0:
            self.check_owner()
            return []
        if not self._follows:
            self._wakeup.wait(timeout_seconds)
        elif not self._wakeup.wait(min(timeout_seconds, STORE_POLL_SECONDS)):
            self._runner.settle(self._key)
        return self._take()

    @property
    def complete(self) -> bool:
        """Whether a reader that goes now misses nothing: the last event read was a turn's last."""
        return self.ended or self._at_end_of_turn

    def read_live(self) -> list[NumberedEvent] | None:
        """Take what the log in memory holds, without a wait or a call to the store.

        None when only the store knows: `read` asks it.
        """
        events = self._take_from_log() if self._run and not self.ended else None
        return [] if events is None and self.ended else events

    @property
    def live(self) -> bool:
        """Whether it reads the log of a turn of this worker."""
        return self._run is not None

    def call_when_woken(self, callback: Callable[[], None]) -> None:
        """Have ``callback``, which must not block, called instead of ending a wait of `read`."""
        self._wakeup.call(callback)

    def check_owner(self) -> None:
        """End a turn of another worker that has died; raises StoreUnavailable."""
        if self._follows and time.monotonic() - self._checked_at >= STORE_POLL_SECONDS:
            self._checked_at = time.monotonic()
            self._runner.settle(self._key)

    def wake(self) -> None:
        """Let the waiting `read` return."""
        self._wakeup.set()

    def close(self) -> None:
        """Stop counting as a reader."""
        self._close_log()
        self._count_at(None)
        self._unfollow()

    def _take(self) -> list[NumberedEvent]:
        while not self.ended:
            events = self._take_from_log() if self._run else self._take_from_store()
            if events is not None:
                return events
        return []

    def _take_from_log(self) -> list[NumberedEvent] | None:
        """Read the log; None when it has been read to its end."""
        run = self._run
        assert run is not None  # noqa: S101 - only called when there is one; for the type checker
        # In this order: an end seen first cannot hide events that came before it.
        log_ended = run.log.ended or run.log.cut
        events = run.log.read_behind(self.cursor.seq, MAX_EVENTS_PER_READ)
        if events:
            if self._mark != run.mark:
                first = events[0]
                events[0] = MarkedEvent(first.id, first.event, first.json, run.mark)
            self._advance(events, run.mark)
            return events
        if not log_ended:
            return []
        self._close_log()
        if self._only_turn == run.fence.turn and not run.log.cut:
            self.ended = True
        return None

    def _take_from_store(self) -> list[NumberedEvent] | None:
        """Read the store; None when there is a log to read instead, or the store once more."""
        if self._at_end_of_turn and self._open_next_log():
            return None
        found = self._read_store()
        if found is None or found.newest_turn < (self._only_turn or 0):
            self._unfollow()
            if not self._at_end_of_turn:
                raise RequestError("not_found", "The session was deleted.")
            self.ended = True
            return []
        live_turn = found.live_turn
        if live_turn is not None and live_turn > (self._only_turn or live_turn):
            live_turn = None
        run = None if live_turn is None else self._runner.find(self._key, live_turn)
        self._attend(run, elsewhere=live_turn is not None and run is None)
        events = self._decode(found)
        if events:
            self._advance(events, found.marks.get(events[-1].id.turn, ""))
            return events
        if live_turn is None:
            self.ended = True
            return []
        if live_turn > self.cursor.turn:
            self.cursor, self._mark = EventId(live_turn, 0), ""
        if run is not None:
            self._open_log(run)
            return None
        return []

    def _read_store(self) -> JournalSlice | None:
        """Read, and follow in the same round trip: later events bring a signal."""
        read, position = self._runner.store.read, (self._key, self.cursor, MAX_EVENTS_PER_READ)
        if self._follows:
            return read(*position, self._mark)
        self._follows = True
        self._runner.following.await_signals(self._key, self.wake)
        try:
            return read(*position, self._mark, follower=self._runner.worker_id)
        except BaseException:
            self._unfollow()
            raise

    def _open_next_log(self) -> bool:
        """Go on to the next turn's log, if it waits or runs here already."""
        run = self._runner.find(self._key, self.cursor.turn + 1)
        if run is None or self._only_turn is not None:
            return False
        self.cursor, self._mark = EventId(run.fence.turn, 0), ""
        self._open_log(run)
        return True

    def _decode(self, found: JournalSlice) -> list[NumberedEvent]:
        rows = found.events
        if self._only_turn is not None:
            rows = [row for row in rows if row[0].turn <= self._only_turn]
        events = [NumberedEvent(event_id, decode_event(json), json) for event_id, json in rows]
        known = self._mark
        for number, numbered in enumerate(events):
            if (mark := found.marks.get(numbered.id.turn, "")) != known:
                events[number], known = _marked(numbered, mark), mark
        if found.has_gap and (found.events or found.live_turn is not None):
            resumes_at = found.events[0][0] if found.events else EventId(found.live_turn or 1, 1)
            gap = Gap(str(self.cursor), str(resumes_at))
            before = EventId(resumes_at.turn, resumes_at.seq - 1)
            events.insert(0, NumberedEvent(before, gap, encode_event(gap)))
        return events

    def _advance(self, events: list[NumberedEvent], mark: str) -> None:
        self.cursor, self._mark = events[-1].id, mark
        self._at_end_of_turn = isinstance(events[-1].event, (Done, Error, Cancelled))
        if self._at_end_of_turn:
            self._close_log()
        if self._only_turn is not None:
            passed = isinstance(events[-1].event, Gap) and self.cursor.turn >= self._only_turn
            self.ended = passed or (self._at_end_of_turn and self.cursor.turn == self._only_turn)

    # -- which turn it counts for, and gets signals of

    def _open_log(self, run: TurnRun) -> None:
        self._count_at(run)
        if self._follows:
            self._unfollow()
        self._at_end_of_turn = False
        self._run = run
        run.log.add_waker(self.wake)

    def _close_log(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.log.remove_waker(self.wake)
            self._count_at(None)

    def _attend(self, run: TurnRun | None, *, elsewhere: bool) -> None:
        self._count_at(run)
        if elsewhere:
            self._runner.heartbeat.start()  # its heartbeat renews the interest
        else:
            self._unfollow()

    def _unfollow(self) -> None:
        if self._follows:
            self._follows = False
            self._runner.following.leave(self._key, self.wake)

    def _count_at(self, run: TurnRun | None) -> None:
        before, self._counted_at = self._counted_at, run
        if before is run:
            return
        if run is not None:
            run.readers.join()
        if before is not None:
            before.readers.leave()


def _marked(numbered: NumberedEvent, mark: str) -> MarkedEvent:
    return MarkedEvent(numbered.id, numbered.event, numbered.json, mark)
