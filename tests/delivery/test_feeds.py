"""Readers whose session is deleted, and taken again, while they read."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.stores import SlowStore
from tests.support.turns import END_SECONDS, TurnBench
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.delivery.feed import Feed
from wsgi_app.errors import RequestError
from wsgi_app.events import AnyEvent, Cancelled, Done, EventId, Token
from wsgi_app.store.base import SessionKey
from wsgi_app.store.memory import MemoryStore

KEY = SessionKey("tenant", "s")
READ_SECONDS = 10.0


class Gate:
    """An agent that sends some tokens and waits until it is let go, or has ended."""

    def __init__(self, text: str, tokens: int = 1) -> None:
        self.go = threading.Event()
        self._texts = [text] * tokens

    def __call__(self, turn: Turn) -> Iterator[str]:
        """Send, and wait."""
        turn.on_cancel(self.go.set)
        yield from self._texts
        self.go.wait(END_SECONDS)


def read_on(feed: Feed) -> list[AnyEvent]:
    """Read what there is to read without long waits; raises RequestError for a cut."""
    return [numbered.event for numbered in feed.read(0.3)]


def read_to_end(feed: Feed) -> list[AnyEvent] | None:
    """Read to the regular end; None if the reader is cut off instead."""
    events: list[AnyEvent] = []

    def ended() -> bool:
        events.extend(read_on(feed))
        return feed.ended

    try:
        wait_for(ended, "the feed has ended", READ_SECONDS)
    except RequestError:
        return None
    finally:
        feed.close()
    return events


@pytest.mark.parametrize("store_class", [MemoryStore, SlowStore])
@pytest.mark.parametrize("already_read", [True, False])
def test_a_deleted_session_is_no_regular_end(
    store_class: type[MemoryStore], *, already_read: bool
) -> None:
    """A reader that went on to a queued turn sees it cancelled as deleted, or is cut off.

    If it is not there yet, the end of the turn before it may be its last event.
    """
    bench = TurnBench(store_class)
    first, second = Gate("a"), Gate("b", tokens=5)
    begun = bench.start(first, key=KEY)
    queued = bench.start(second, key=KEY, if_busy="enqueue")
    feed = Feed(bench.runner, KEY, EventId(1, 0))
    assert read_on(feed) == [Token("a")]
    first.go.set()
    assert begun.wait_ended(END_SECONDS)
    what = "the second turn's tokens are stored"
    wait_for(lambda: _stored(bench, queued.fence.turn) >= 5, what)
    if already_read:
        wait_for(lambda: Token("b") in read_on(feed), "a token of the second turn")
    bench.runner.delete_session(KEY)
    rest = read_to_end(feed)
    ends = [Cancelled("deleted")] if already_read else [Cancelled("deleted"), begun.terminal]
    assert rest is None or rest[-1] in ends


def _stored(bench: TurnBench, turn: int) -> int:
    found = bench.store.read(KEY, EventId(turn, 0), 100)
    return 0 if found is None else len(found.events)


@pytest.mark.parametrize("new_turns", [1, 2, 3])
def test_a_reader_never_slips_into_another_conversation(new_turns: int) -> None:
    """A reader of one turn sees its end, and nothing of what is said under the same id later."""
    bench = TurnBench(SlowStore)
    run = bench.start(Gate("old", tokens=3), key=KEY)
    feed = Feed(bench.runner, KEY, EventId(1, 0), only_turn=1)
    events = read_on(feed)
    run.cancel("user")
    bench.runner.delete_session(KEY)
    for _ in range(new_turns):
        again = bench.start(lambda _: "new", key=KEY)
        assert again.wait_ended(END_SECONDS)
        assert isinstance(again.terminal, Done)
    rest = read_to_end(feed)
    assert rest is not None
    events += rest
    assert Token("new") not in events
    assert events[-1] == run.terminal == Cancelled("user")
