"""Many sessions of one tenant as one stream, which continues from turn to turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from wsgi_app.compat.python import zip_strict
from wsgi_app.delivery.feed import Feed
from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.worker.runner import Runner
from wsgi_app.errors import RequestError, draining
from wsgi_app.events import LOST_SEQ, Cursor, EventId, MarkedEvent, NumberedEvent
from wsgi_app.frames.merge import merge_backlog
from wsgi_app.store.base import SessionKey

#: How often it is looked whether the owner of a turn still lives, and this worker stays.
LOOK_SECONDS: Final = 1.0
#: Sessions that come behind so many events wait for the next read.
MAX_EVENTS_PER_READ: Final = 500


class SessionEvent(NumberedEvent, frozen=True, gc=False):
    """An event, its session, and where its reader stands in all its sessions after it."""

    session_id: str
    cursors: tuple[Cursor, ...]


class ManyFeeds:
    """The events after a cursor in each of several sessions, as long as the reader stays.

    Read by one thread at a time; `wake` may be called by any. Offers what `Feed` does.
    """

    #: Nothing is ever complete: each session may have a further turn.
    ended = False
    #: The store is asked with every read.
    live = False

    def __init__(
        self,
        runner: Runner,
        keys: Sequence[SessionKey],
        cursors: Sequence[Cursor | None],
        *,
        marked: bool = False,
    ) -> None:
        """``marked``: each event is a `MarkedEvent`, and so none is merged with another."""
        self._runner = runner
        self._marked = marked
        self._wakeup = Wakeup()
        self._tails: list[_Tail] = []
        self._next = 0
        try:
            for key, cursor in zip_strict(keys, cursors):
                tail = _Tail(runner, key, self._wakeup)
                self._tails.append(tail)
                tail.begin(cursor)
        except BaseException:
            self.close()
            raise

    def read(self, timeout_seconds: float) -> list[NumberedEvent]:
        """Take what is there, or wait for it; nothing if time is over or woken.

        They are of the type `SessionEvent`, which has a `NumberedEvent`'s fields and more.
        Raises StoreUnavailable, and RequestError ``draining`` when this worker is about to leave.
        """
        events = self._take()
        if not events and timeout_seconds > 0:
            self._wakeup.wait(min(timeout_seconds, LOOK_SECONDS))
            events = self._take()
        return events

    def position(self, index: int) -> EventId:
        """Behind which event of a session it reads on; `<turn>-0` before a turn's first one."""
        return self._tails[index].position

    @property
    def complete(self) -> bool:
        """Whether a reader that goes now misses nothing: no turn is being read."""
        return not any(tail.is_live for tail in self._tails)

    def read_live(self) -> None:
        """See `Feed.read_live`."""

    def call_when_woken(self, callback: Callable[[], None]) -> None:
        """See `Feed.call_when_woken`."""
        self._wakeup.call(callback)

    def wake(self) -> None:
        """Let the waiting `read` return."""
        self._wakeup.set()

    def close(self) -> None:
        """Stop counting as a reader of all sessions."""
        for tail in self._tails:
            tail.close()

    def _take(self) -> list[NumberedEvent]:
        """Take turns among the sessions, so that a busy one does not keep the others waiting."""
        events: list[NumberedEvent] = []
        if self._runner.draining and not any(tail.is_live for tail in self._tails):
            raise draining()
        for _ in self._tails:
            tail = self._tails[self._next]
            self._next = (self._next + 1) % len(self._tails)
            taken = tail.take()
            for numbered in taken if self._marked else merge_backlog(taken):
                tail.move(numbered)
                events.append(self._with_cursor(tail, numbered))
            if len(events) >= MAX_EVENTS_PER_READ:
                break
        return events

    def _with_cursor(self, tail: _Tail, numbered: NumberedEvent) -> NumberedEvent:
        fields = (numbered.id, numbered.event, numbered.json)
        if self._marked:
            return MarkedEvent(*fields, tail.cursor.mark)
        cursors = tuple(other.cursor for other in self._tails)
        return SessionEvent(*fields, tail.key.session_id, cursors)


class _Tail:
    """One session: its feed while there is something to read, else a wait without reading.

    What ends that wait: a signal of the session, or a heartbeat that finds it changed; of one that
    is not there, what `Births` reports.

    Used by the reader's thread; signals set ``_woken`` from others.
    """

    def __init__(self, runner: Runner, key: SessionKey, wakeup: Wakeup) -> None:
        self.key = key
        self.cursor = Cursor(EventId(0, 0))
        self._runner = runner
        self._wakeup = wakeup
        self._feed: Feed | None = None
        self._woken = True
        self._is_joined = False
        self._awaits_birth = False

    def begin(self, cursor: Cursor | None) -> None:
        """Read on from there, or from where a new reader begins; raises StoreUnavailable."""
        self.cursor = self._start() if cursor is None else cursor

    def move(self, numbered: NumberedEvent) -> None:
        """Stand behind this event."""
        known = numbered.mark if isinstance(numbered, MarkedEvent) else self.cursor.mark
        self.cursor = Cursor(numbered.id, known)

    @property
    def is_live(self) -> bool:
        """Whether a turn is being read."""
        return self._feed is not None

    @property
    def position(self) -> EventId:
        """Behind which event it reads on."""
        return self.cursor.position if self._feed is None else self._feed.cursor

    def take(self) -> list[NumberedEvent]:
        """What has come; raises StoreUnavailable, and RequestError ``draining``."""
        if self._feed is None and not self._woken:
            return []
        feed = self._feed or self._open_feed()
        try:
            events = feed.read(0)
        except RequestError as error:
            self._close_feed()
            if error.code != "not_found":
                self._woken = True
                raise
            self._leave()
            if not self._awaits_birth:
                self._await_birth()
                self._wake()  # to look once more: it may have begun before that
            self.cursor = Cursor(EventId(0, 0))  # one of its name begins again
            return []
        if self._awaits_birth:
            self._forget_birth()
            # The store takes no followers of what it does not know.
            self._leave()
            self._join()
            self._woken = True  # a turn may have begun before that
        if feed.ended:
            self._close_feed()
        return events

    def close(self) -> None:
        """Stop reading, and leave the session."""
        self._close_feed()
        self._leave()
        self._forget_birth()

    def _open_feed(self) -> Feed:
        self._woken = False
        try:
            # Before the look: a turn that begins behind it wakes this reader.
            self._join()
            position, mark = self.cursor
            self._feed = Feed(self._runner, self.key, position, wakeup=self._wakeup, mark=mark)
        except BaseException:
            self._woken = True
            raise
        return self._feed

    def _join(self) -> None:
        if not self._is_joined:
            self._runner.follow(self.key, self._wake)
            self._is_joined = True

    def _leave(self) -> None:
        if self._is_joined:
            self._is_joined = False
            self._runner.following.leave(self.key, self._wake)

    def _await_birth(self) -> None:
        self._awaits_birth = True
        self._runner.births.join(self.key, self._wake)

    def _forget_birth(self) -> None:
        if self._awaits_birth:
            self._awaits_birth = False
            self._runner.births.leave(self.key, self._wake)

    def _wake(self) -> None:
        self._woken = True
        self._wakeup.set()

    def _close_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _start(self) -> Cursor:
        """The start of the running turn, else the end of what there is."""
        # Before the look, so that it need not be repeated: its start wakes this reader.
        self._woken = False
        self._await_birth()
        found = self._runner.store.read(self.key, EventId(0, 0), 0)
        if found is None:
            return Cursor(EventId(0, 0))
        self._forget_birth()
        self._woken = True
        if found.live_turn:
            return Cursor(EventId(found.live_turn, 0))
        newest = found.newest_turn
        return Cursor(EventId(newest, LOST_SEQ), found.marks.get(newest, ""))
