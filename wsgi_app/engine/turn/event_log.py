"""The event log: the queue between a turn and its readers in the same worker."""

from __future__ import annotations

import queue
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

from wsgi_app.engine.turn.steps import counted
from wsgi_app.events import AnyEvent, EventId, NumberedEvent, Terminal, Token, encode_event


class EventLog:
    """A turn's events, numbered from 1, for any number of readers.

    Appended to by the turn's thread, its tools' threads and the event loops; drained by reader
    threads and the journal. ``_lock`` guards appending; readers take slices of a list that only
    grows, which needs none.
    """

    def __init__(self, turn: int, before: Sequence[NumberedEvent] = ()) -> None:
        """``before``: what the turn said on other workers, whose ids have holes, see `Resumes`."""
        self._turn = turn
        self._lock = threading.Lock()
        self._entries = list(before)
        #: The seqs of ``before``, and how far the later ones are ahead of their indexes.
        self._before = [entry.id.seq for entry in before] if before else []
        self._ahead = self._before[-1] - len(before) if before else 0
        self._wakers: tuple[Callable[[], None], ...] = ()
        self._sealed = False
        #: When the first event and the first token came, on `time.monotonic`.
        self.first_event_at: float | None = None
        self.first_token_at: float | None = None
        #: Whether the terminal event is out.
        self.ended = False
        #: Whether the turn was taken away: its end is in the store alone.
        self.cut = False

    def append(self, event: AnyEvent, json: bytes) -> bool:
        """Add an event and wake the readers; False, and nothing added, once the log is sealed."""
        with self._lock:
            if self._sealed:
                return False
            self._add(event, json)
            if self.first_token_at is None:
                self._note_first(event)
        self._wake()
        return True

    def add(self, event: AnyEvent, json: bytes) -> EventId | None:
        """Add an event like `append`; returns its id, None once the log is sealed."""
        with self._lock:
            if self._sealed:
                return None
            self._add(event, json)
            added = self._entries[-1].id
        self._wake()
        return added

    def seal(self) -> None:
        """Refuse further events but the terminal one."""
        with self._lock:
            self._sealed = True

    def publish_terminal(self, event: Terminal) -> None:
        """Add the terminal event to the sealed log, once, and wake the readers."""
        json = encode_event(event)
        with self._lock:
            if self.ended:
                return
            self._add(event, json)
            self.ended = True
        self._wake()

    def cut_off(self) -> None:
        """Send the readers to the store."""
        self.cut = True
        self._wake()

    def read(self, after: int, max_events: int) -> list[NumberedEvent]:
        """Read what is behind so many events, at once, possibly nothing."""
        return self._entries[after : after + max_events]

    def read_behind(self, seq: int, max_events: int) -> list[NumberedEvent]:
        """Read what is behind this seq, as `read` does."""
        after = seq - self._ahead
        if self._before and seq <= self._before[-1]:
            after = bisect_right(self._before, seq)
        return self._entries[after : after + max_events]

    def events(self) -> list[AnyEvent]:
        """All events so far that count."""
        if self._before:
            return counted(self._entries)
        return [entry.event for entry in self._entries]

    def reply(self) -> str:
        """All tokens so far that count, joined."""
        return "".join(event.content for event in self.events() if isinstance(event, Token))

    @property
    def last_seq(self) -> int:
        """How many events there are; the newest one's number in a turn that one worker runs."""
        return len(self._entries)

    def add_waker(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called after every append; it must not block."""
        with self._lock:
            self._wakers = (*self._wakers, wake)

    def remove_waker(self, wake: Callable[[], None]) -> None:
        """Undo `add_waker`."""
        with self._lock:
            self._wakers = tuple(known for known in self._wakers if known != wake)

    def _note_first(self, event: AnyEvent) -> None:
        now = time.monotonic()
        if self.first_event_at is None:
            self.first_event_at = now
        if isinstance(event, Token):
            self.first_token_at = now

    def _add(self, event: AnyEvent, json: bytes) -> None:
        seq = len(self._entries) + 1 + self._ahead
        self._entries.append(NumberedEvent(EventId(self._turn, seq), event, json))

    def _wake(self) -> None:
        for wake in self._wakers:
            wake()


class Wakeup:
    """A latch that one thread sleeps on and any thread sets; it forgets once waited for.

    The queue inside blocks in C with a time limit, and holds at most one item per setter.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._call: Callable[[], None] | None = None

    def call(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, which must not block, from now on, instead of waking a sleeper."""
        self._call = callback

    def set(self) -> None:
        """Wake the sleeper, or let its next wait return at once."""
        if self._call is not None:
            self._call()
        elif self._queue.empty():
            self._queue.put(None)

    def wait(self, timeout_seconds: float | None) -> bool:
        """Sleep until set; False when the time is over first."""
        try:
            self._queue.get(timeout=timeout_seconds)
        except queue.Empty:
            return False
        return True
