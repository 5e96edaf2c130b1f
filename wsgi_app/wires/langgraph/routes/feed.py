"""A thread's turns for one reader: what each begins with, and then its events, for good."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from wsgi_app.delivery.feed import Feed
from wsgi_app.delivery.many_feeds import ManyFeeds
from wsgi_app.engine.turn.steps import counted
from wsgi_app.engine.turn.valid_messages import valid_id, valid_name
from wsgi_app.events import (
    Cursor,
    EventId,
    Gap,
    MarkedEvent,
    NumberedEvent,
    Status,
    Withdrawn,
)
from wsgi_app.store.base import SessionKey, SessionState
from wsgi_app.web.mount import Mount
from wsgi_app.wires.langgraph.encode.events import Rewound, TurnStart
from wsgi_app.wires.langgraph.encode.messages import Exchange, LangChainMessage, Names, exchanges_of
from wsgi_app.wires.langgraph.ids import turn_of
from wsgi_app.wires.langgraph.note import TurnNote, decode_note
from wsgi_app.wires.langgraph.request.events import Subscription
from wsgi_app.wires.shared.questions import events_so_far

#: So many of a thread's newest turns are sent again to a reader that names no event: it has begun
#: one of them, and opens its streams one after the other.
REPLAYED_TURNS: Final = 8
NAMES: Final = Names(valid_id, valid_name)


class _OneTurn:
    """A turn's feed, each of whose events has the mark; offers what `ManyFeeds` does."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._mark = ""
        self.call_when_woken, self.wake, self.close = feed.call_when_woken, feed.wake, feed.close

    @property
    def ended(self) -> bool:
        return self._feed.ended

    @property
    def complete(self) -> bool:
        return self._feed.complete

    def position(self, index: int) -> EventId:
        del index
        return self._feed.cursor

    def read(self, timeout_seconds: float) -> list[NumberedEvent]:
        return [self._marked(one) for one in self._feed.read(timeout_seconds)]

    def _marked(self, numbered: NumberedEvent) -> NumberedEvent:
        if isinstance(numbered, MarkedEvent):
            self._mark = numbered.mark
        return MarkedEvent(numbered.id, numbered.event, numbered.json, self._mark)


class ThreadFeed:
    """What a reader of a thread reads; offers what `EventSource` asks for.

    Read by one thread at a time; `wake` may be called by any.
    """

    #: The store is asked with every read.
    live = False

    def __init__(
        self, mount: Mount, key: SessionKey, feeds: ManyFeeds | _OneTurn, *, wants_state: bool
    ) -> None:
        """``feeds``: begins in front of a turn."""
        self._mount = mount
        self._key = key
        self._wants_state = wants_state
        self._turn = 0
        self._mark = ""
        self._feeds = feeds
        #: The history while turns are sent again, so that it is read once for all of them.
        self._history: list[Exchange] = []

    @classmethod
    def subscribed(cls, mount: Mount, key: SessionKey, wanted: Subscription) -> ThreadFeed:
        """Read on behind what a client has; raises StoreUnavailable."""
        view = mount.store.state_of(key)
        if view is None or turn_of(wanted.since) > view.turn:
            wanted.since = -1  # of a thread that was deleted
        wants_state = wanted.wants("values") or wanted.wants("checkpoints")
        feeds = ManyFeeds(mount.runner, [key], [_start(view, wanted.since)], marked=True)
        return cls(mount, key, feeds, wants_state=wants_state)

    @classmethod
    def of_turn(cls, mount: Mount, key: SessionKey, turn: int, *, wants_state: bool) -> ThreadFeed:
        """Read one turn from its start; its reader is one of those that it continues for."""
        feed = Feed(mount.runner, key, EventId(turn, 0), turn)
        return cls(mount, key, _OneTurn(feed), wants_state=wants_state)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come; a thread may always have a further turn."""
        return self._feeds.ended

    def read(self, timeout_seconds: float) -> list[NumberedEvent]:
        """See `ManyFeeds.read`; a turn's events stand behind its `TurnStart`."""
        made = self._silent_turn()
        if made:
            return made
        events = self._feeds.read(timeout_seconds)
        self._history = self._history if events else []
        for numbered in events:
            mark = numbered.mark if isinstance(numbered, MarkedEvent) else ""
            is_new = (numbered.id.turn, mark) != (self._turn, self._mark)
            if is_new and not isinstance(numbered.event, Gap):
                made.append(self._begin(numbered.id.turn, mark))
            made.append(self._prepared(numbered))
        return made

    def _prepared(self, numbered: NumberedEvent) -> NumberedEvent:
        event = numbered.event
        if not isinstance(event, Withdrawn):
            return numbered
        turn = numbered.id.turn
        before = events_so_far(self._mount, self._key, turn)
        known = [one for one in before if one.id <= numbered.id]
        return Rewound(numbered.id, event, numbered.json, tuple(counted(known)))

    def _silent_turn(self) -> list[NumberedEvent]:
        """The start of a turn that runs and has said nothing yet."""
        turn = self._feeds.position(0).turn
        if turn <= self._turn:
            return []
        view = self._mount.store.state_of(self._key)
        if view is None or not view.active_turns or view.active_turns[0] != turn:
            return []
        mark = mark_of_turn(self._mount, self._key, turn)
        start = self._start_of(turn, mark)
        if not mark or (self._wants_state and start.messages is None):
            return []  # it waits for its place
        self._turn, self._mark = turn, mark
        return [start]

    def _begin(self, turn: int, mark: str) -> TurnStart:
        self._turn, self._mark = turn, mark
        return self._start_of(turn, mark)

    def _start_of(self, turn: int, mark: str) -> TurnStart:
        note = note_of(self._mount, self._key, turn)
        name = human_id(note, mark)
        at = int(time.time() * 1000) if note is None else note.started_at
        messages = self._messages_up_to(name) if self._wants_state else None
        return TurnStart(EventId(turn, 0), Status(""), b"", mark, at, name, messages)

    def _messages_up_to(self, name: str) -> tuple[LangChainMessage, ...] | None:
        """The thread's messages up to this one of the user's; None if the history has it not."""
        if not any(one.id == name for one in self._history):
            view = self._mount.store.history(self._key)
            self._history = exchanges_of([] if view is None else view.messages)
        indexes = [index for index, one in enumerate(self._history) if one.id == name]
        if not indexes:
            return None
        before = (one for exchange in self._history[: indexes[-1]] for one in exchange.messages)
        return (*before, self._history[indexes[-1]].messages[0])

    @property
    def complete(self) -> bool:
        """See `ManyFeeds.complete`."""
        return self._feeds.complete

    def read_live(self) -> None:
        """See `ManyFeeds.read_live`."""

    def call_when_woken(self, callback: Callable[[], None]) -> None:
        """See `ManyFeeds.call_when_woken`."""
        self._feeds.call_when_woken(callback)

    def wake(self) -> None:
        """See `ManyFeeds.wake`."""
        self._feeds.wake()

    def close(self) -> None:
        """See `ManyFeeds.close`."""
        self._feeds.close()


def _start(view: SessionState | None, since: int) -> Cursor | None:
    """Where a reader begins: at the start of a turn, since messages are made from there."""
    if view is None:
        return None
    named = turn_of(since) if since >= 0 else 0
    if 0 < named <= view.turn:
        return Cursor(EventId(named, 0))
    oldest = min((*view.active_turns, view.turn - REPLAYED_TURNS + 1))
    return Cursor(EventId(max(1, oldest), 0))


def mark_of_turn(mount: Mount, key: SessionKey, turn: int) -> str:
    """The mark of a turn's run; '' where it is not known."""
    run = mount.runner.find(key, turn)
    if run is not None:
        return run.mark
    found = mount.store.read(key, EventId(turn, 0), 1)
    return "" if found is None else found.marks.get(turn, "")


def note_of(mount: Mount, key: SessionKey, turn: int) -> TurnNote | None:
    """What this wire has kept with a turn."""
    return decode_note(mount.store.turn_note(key, turn))


def human_id(note: TurnNote | None, mark: str) -> str:
    """The name of a turn's user's message."""
    return (note.message_id if note is not None else "") or mark


def started_at(note: TurnNote | None, view: SessionState, turn: int) -> int:
    """When a turn began; of one that another wire has begun, a time before all others."""
    return int(view.created_at * 1000) + turn if note is None else note.started_at
