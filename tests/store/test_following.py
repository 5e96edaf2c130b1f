"""write, follow and listen: many turns written at once, and workers told of what concerns them."""

from __future__ import annotations

from tests.store.steps import (
    KEY,
    OTHER,
    MakeStore,
    Signals,
    contents,
    end,
    enqueue,
    events,
    fence_of,
    ids,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.errors import Fenced
from wsgi_app.events import EventId
from wsgi_app.store.base import Appended, JournalWrite, Signal, Store, StoreLimits

LEASE_SECONDS = 0.5


# -- write


def test_write_does_appends_and_finishes(store: Store) -> None:
    """A write of many turns does to each what an append or a finish would, in their order."""
    ended, first, second = run_turn(store), start(store), start(store, OTHER)
    store.request_cancel(OTHER, None, "user")
    answers = store.write(
        [
            JournalWrite(first, 1, events(1, 2)),
            JournalWrite(ended, 1, events(1, 9)),
            JournalWrite(second, 1, events(1, 1)),
            JournalWrite(first, 3, events(3, 3), [{"role": "assistant", "content": "hi"}]),
        ]
    )
    assert isinstance(answers[1], Fenced)
    assert [answer for answer in answers if isinstance(answer, Appended)] == [
        Appended(2, None),
        Appended(1, "user"),
        Appended(3, None),
    ]
    assert ids(store) == ["1-1", "2-1", "2-2", "2-3"]
    assert contents(store) == ["hello", "hello", "hi"]


def test_write_of_nothing(store: Store) -> None:
    """A write of no turns does nothing."""
    assert store.write([]) == []


def test_write_without_messages_to_add_ends_the_turn(store: Store) -> None:
    """An empty list of messages is a finish too, and behind a hole it ends nothing."""
    fence = start(store)
    assert store.write([JournalWrite(fence, 2, events(2, 2), [])]) == [Appended(0, None)]
    assert store.write([JournalWrite(fence, 1, events(1, 2), [])]) == [Appended(2, None)]
    assert start(store).turn == 2


# -- follow


def test_followers_hear_of_events(store: Store) -> None:
    """A worker that follows a session hears when its journal grows and when its turn ends."""
    fence = start(store)
    signals = Signals(store, "follower")
    assert not store.append(fence, 1, events(1, 1)).followed
    store.follow("follower", KEY)
    assert store.append(fence, 2, events(2, 2)).followed
    wait_for(lambda: signals.has(Signal("events", KEY, 1)), "the news of events")
    assert store.finish(fence, 3, events(3, 3), []) == 3
    wait_for(lambda: signals.has(Signal("ended", KEY, 1)), "the news of the end")


def test_owner_hears_of_followers(store: Store) -> None:
    """The worker of the running turn hears that it is followed."""
    owner, stranger = Signals(store, "owner"), Signals(store, "stranger")
    start(store, worker_id="owner")
    store.follow("follower", KEY)
    wait_for(lambda: owner.has(Signal("follow", KEY, 1)), "the news of a follower")
    assert stranger.heard == []


def test_followers_are_forgotten(make_store: MakeStore) -> None:
    """A worker follows for a lease, and longer only with heartbeats that say so."""
    store = make_store(StoreLimits(lease_seconds=LEASE_SECONDS))
    fence = start(store)
    store.heartbeat("follower", [], [KEY])
    assert store.append(fence, 1, events(1, 1)).followed
    wait_for(lambda: not store.append(fence, 1, []).followed, "nobody follows")
    store.heartbeat("follower", [], [])
    assert not store.append(fence, 1, []).followed


def test_unknown_session_is_not_followed(store: Store) -> None:
    """To follow an unknown session does nothing, also once it is made."""
    store.follow("follower", KEY)
    store.heartbeat("follower", [], [OTHER])
    assert store.history(KEY) is None
    assert not store.append(start(store), 1, events(1, 1)).followed
    assert not store.append(start(store, OTHER), 1, events(1, 1)).followed


def test_a_read_follows_what_goes_on(store: Store) -> None:
    """A read for a worker that follows has it, and the turn's own, told from then on."""
    owner, follower = Signals(store, "owner"), Signals(store, "follower")
    fence = start(store, worker_id="owner")
    store.append(fence, 1, events(1, 1))
    found = store.read(KEY, EventId(0, 0), 100, follower="follower")
    assert found is not None
    assert [str(place) for place, _ in found.events] == ["1-1"]
    wait_for(lambda: owner.has(Signal("follow", KEY, 1)), "the news of a follower")
    assert store.append(fence, 2, events(2, 2)).followed
    wait_for(lambda: follower.has(Signal("events", KEY, 1)), "the news of events")


def test_a_read_follows_a_turn_that_waits(store: Store) -> None:
    """A read behind the running turn has the worker of the waiting one told."""
    waiting = Signals(store, "waiting")
    start(store, worker_id="running")
    enqueue(store, worker_id="waiting")
    store.read(KEY, EventId(2, 0), 100, follower="follower")
    wait_for(lambda: waiting.has(Signal("follow", KEY, 2)), "the news of a follower")


def test_a_read_follows_nothing_that_has_ended(store: Store) -> None:
    """A read of an idle session, or of the worker's own turn, follows nothing."""
    run_turn(store)
    store.read(KEY, EventId(0, 0), 100, follower="follower")
    fence = start(store, worker_id="owner")
    store.read(KEY, EventId(0, 0), 100, follower="owner")
    store.read(KEY, EventId(0, 0), 100)
    assert not store.append(fence, 1, events(1, 1)).followed


def test_a_cancel_follows_the_end(store: Store) -> None:
    """A cancel for a worker that follows has it told of the end, if the turn is another's."""
    follower = Signals(store, "follower")
    fence = start(store, worker_id="owner")
    assert store.request_cancel(KEY, None, "user", follower="owner") == [1]
    assert not store.append(fence, 1, events(1, 1)).followed
    assert store.request_cancel(KEY, 1, "user", follower="follower") == [1]
    end(store, fence)
    wait_for(lambda: follower.has(Signal("ended", KEY, 1)), "the news of the end")


# -- listen


def test_worker_hears_its_own_signals(store: Store) -> None:
    """A worker hears of its turns' flags and answers; another one does not."""
    mine, others = Signals(store, "mine"), Signals(store, "other")
    store.open_input(start(store, worker_id="mine"), "q")
    store.post_input(KEY, "q", b"1")
    store.request_cancel(KEY, None, "user")
    expected = [Signal("input", KEY, 1, "q"), Signal("cancel", KEY, 1, "user")]
    wait_for(lambda: signals_are(mine, expected), f"{expected} in {mine.heard}")
    assert others.heard == []


def test_waiting_worker_hears_of_the_end(store: Store) -> None:
    """The worker of a waiting turn hears that the one before it has ended, on another worker."""
    signals = Signals(store, "waiting")
    fence = start(store, worker_id="running")
    enqueue(store, worker_id="waiting")
    end(store, fence)
    wait_for(lambda: signals.has(Signal("ended", KEY, 1)), "the news of the end")


def test_owner_before_hears_of_the_next(store: Store) -> None:
    """A worker hears when another one runs the session's turns, at a begin and at a claim."""
    signals = {name: Signals(store, name) for name in ("a", "b")}
    end(store, start(store, worker_id="a"))
    end(store, start(store, worker_id="a"))
    assert "moved" not in [signal.kind for signal in signals["a"].heard]
    second = start(store, worker_id="b")
    wait_for(lambda: "moved" in [s.kind for s in signals["a"].heard], "a hears of b")
    waiting = enqueue(store, worker_id="a")
    end(store, second)
    assert "moved" not in [signal.kind for signal in signals["b"].heard]
    assert store.claim_turn(waiting).state == "started"
    wait_for(lambda: "moved" in [s.kind for s in signals["b"].heard], "b hears of a")


def test_owner_hears_of_deletion(store: Store) -> None:
    """The worker that last ran a session's turns hears of its deletion, also when it is idle."""
    signals = Signals(store, "owner")
    order = request(worker_id="owner")
    store.begin_turn(order)
    end(store, fence_of(order, 1))
    store.delete_session(KEY)
    wait_for(lambda: signals.has(Signal("moved", KEY, 1)), "the news of the deletion")


def signals_are(signals: Signals, expected: list[Signal]) -> bool:
    """Whether exactly these came, in any order."""
    return sorted(signals.heard) == sorted(expected)
