"""What a running turn brings back when the store has lost its session."""

from __future__ import annotations

import pytest

from tests.store.steps import (
    ALL,
    KEY,
    OTHER,
    START,
    MakeStore,
    contents,
    end,
    events,
    fence_of,
    ids,
    refused,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.errors import Fenced
from wsgi_app.events import LOST_SEQ, EventId
from wsgi_app.store.base import Fence, SessionKey, Store, StoreLimits

#: A running turn of another life of the store.
LOST = Fence(KEY, 5, "lost-run")


def test_append_makes_the_session_again(store: Store) -> None:
    """An append to a lost session makes it again, with the turn running; its events are resent."""
    assert store.append(LOST, 40, events(40, 41)).last_seq == 0
    assert store.append(LOST, 1, events(1, 41)).last_seq == 41
    view = store.history(KEY)
    assert view is not None
    assert (view.turn, view.active_turns, view.messages) == (5, (5,), [])
    assert ids(store) == [f"5-{seq}" for seq in range(1, 42)]


def test_finish_makes_the_session_again(store: Store) -> None:
    """A finish of a lost turn makes the session again and ends the turn; the next one follows."""
    assert store.finish(LOST, 3, events(3, 3), []) == 0
    assert store.finish(LOST, 1, events(1, 3), [{"role": "assistant", "content": "hi"}]) == 3
    assert store.finish(LOST, 1, events(1, 3), [{"role": "assistant", "content": "hi"}]) == 3
    assert contents(store) == ["hi"]
    assert start(store).turn == 6


def test_question_survives_its_session(store: Store) -> None:
    """A question of a lost session is asked again by the turn that waits for its answer."""
    assert store.take_input(LOST, "q") is None
    store.post_input(KEY, "q", b"1")
    assert store.take_input(LOST, "q") == b"1"


def test_question_is_asked_in_a_lost_session(store: Store) -> None:
    """A turn whose session was lost may ask."""
    store.open_input(LOST, "q")
    store.post_input(KEY, "q", b"1")
    assert store.take_input(LOST, "q") == b"1"
    assert store.append(LOST, 1, events(1, 1)).last_seq == 1


def test_turn_made_again_is_an_ordinary_one(store: Store) -> None:
    """A turn that was made again makes its session busy, is cancelled, and can be lost again."""
    store.append(LOST, 1, events(1, 1))
    waiting = request(if_busy="enqueue")
    assert store.begin_turn(waiting).turn == 6
    assert store.request_cancel(KEY, 5, "user") == [5]
    assert store.heartbeat("worker", [LOST]).cancels == {LOST: "user"}
    view = store.history(KEY)
    assert view is not None
    assert view.owner == "worker"
    assert fence_of(waiting, 6) in store.mark_lost("worker", b"{}")
    assert ids(store) == ["5-1", f"5-{LOST_SEQ}", f"6-{LOST_SEQ}"]


def test_turn_made_again_counts(make_store: MakeStore) -> None:
    """A turn that was made again counts among its tenant's, which never keep it out."""
    store = make_store(StoreLimits(max_turns_per_tenant=1, max_sessions_per_tenant=1))
    fence = start(store, OTHER)
    assert store.append(LOST, 1, events(1, 1)).last_seq == 1
    end(store, fence)
    with refused("too_many_turns"):
        store.begin_turn(request(OTHER))
    third = SessionKey(KEY.tenant, "s-3")
    assert store.finish(LOST, 2, events(2, 2), []) == 2
    with refused("too_many_sessions"):
        store.begin_turn(request(third))
    assert start(store).turn == 6


def test_readers_are_told_what_was_lost(store: Store) -> None:
    """A cursor before the turn that was made again has missed events; one in it has not."""
    store.append(LOST, 1, events(1, 2))
    for after, has_gap in {
        START: False,
        EventId(1, 1): True,
        EventId(4, 3): True,
        EventId(4, LOST_SEQ): False,
        EventId(5, 0): False,
        EventId(5, 7): False,
        EventId(6, 0): True,
    }.items():
        found = store.read(KEY, after, ALL)
        assert found is not None
        assert (found.has_gap, found.live_turn) == (has_gap, 5), after


def test_first_turn_made_again_misses_nothing(store: Store) -> None:
    """When the turn made again is the first, nothing before it can be missing."""
    store.append(LOST._replace(turn=1), 1, events(1, 2))
    found = store.read(KEY, EventId(0, 9), ALL)
    assert found is not None
    assert not found.has_gap


def test_turn_follows_what_is_left(store: Store) -> None:
    """A lost turn right behind the newest that is left joins it; nothing is missed between."""
    run_turn(store)
    fence = Fence(KEY, 2, "lost-run")
    store.append(fence, 1, events(1, 1))
    assert ids(store, EventId(1, 0)) == ["1-1", "2-1"]
    end(store, fence)
    assert start(store).turn == 3


def test_turns_before_a_loss_are_not_passed_off_as_all(store: Store) -> None:
    """When turns between were lost, a reader of those before is told that it missed some."""
    run_turn(store)
    store.append(LOST, 1, events(1, 1))
    found = store.read(KEY, EventId(1, 0), ALL)
    assert found is not None
    assert found.has_gap
    assert [str(place) for place, _ in found.events] == ["5-1"]


def test_newer_turn_keeps_the_lost_one_out(store: Store) -> None:
    """A lost turn is fenced when the session has this number already, or a higher one."""
    for _ in range(5):
        run_turn(store)
    with pytest.raises(Fenced):
        store.append(LOST, 1, events(1, 1))
    with pytest.raises(Fenced):
        store.finish(LOST._replace(turn=4), 1, events(1, 1), [])
    assert start(store).turn == 6


def test_running_turn_keeps_the_lost_one_out(store: Store) -> None:
    """A lost turn is fenced while another one runs or waits: never do two run."""
    running = start(store)
    for write in (
        lambda: store.append(LOST, 1, events(1, 1)),
        lambda: store.finish(LOST, 1, events(1, 1), []),
    ):
        with pytest.raises(Fenced):
            write()
    view = store.history(KEY)
    assert view is not None
    assert view.active_turns == (1,)
    end(store, running)


def test_queued_turn_does_not_claim_a_lost_session(store: Store) -> None:
    """A claim makes nothing again: a waiting turn whose session was lost is fenced."""
    with pytest.raises(Fenced):
        store.claim_turn(LOST)
    assert store.history(KEY) is None


def test_expired_session_is_a_lost_one(make_store: MakeStore) -> None:
    """A turn that runs on although its session has expired brings it back."""
    store = make_store(StoreLimits(session_ttl_seconds=0.2))
    run_turn(store)
    fence = start(store)
    store.append(fence, 1, events(1, 2))
    wait_for(lambda: store.history(KEY) is None, "the session has expired")
    assert store.append(fence, 3, events(3, 3)).last_seq == 0
    assert store.finish(fence, 1, events(1, 4), []) == 4
    assert ids(store) == [f"{fence.turn}-{seq}" for seq in range(1, 5)]


def test_turn_made_again_keeps_its_place(make_store: MakeStore) -> None:
    """The loss of a worker that asked for a turn, but does not have it, leaves its place taken."""
    store = make_store(StoreLimits(max_turns_per_tenant=1))
    order = request(worker_id="dead")
    store.append(fence_of(order, 1), 1, events(1, 1))
    assert store.begin_turn(order).state == "started"
    assert store.mark_lost("dead", b"{}") == []
    with refused("too_many_turns"):
        store.begin_turn(request(OTHER))
