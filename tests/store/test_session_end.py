"""Sessions that are deleted, and sessions that expire."""

from __future__ import annotations

import time

import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    MakeStore,
    contents,
    end,
    enqueue,
    events,
    fence_of,
    ids,
    listed,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.errors import Fenced, RequestError
from wsgi_app.store.base import Store, StoreLimits

TTL_SECONDS = 0.8


def test_deleted_session_is_unknown(store: Store) -> None:
    """A deleted session is gone from every operation; to delete it again finds nothing."""
    assert not store.delete_session(KEY)
    run_turn(store, reply="hi")
    run_turn(store, OTHER)
    assert store.delete_session(KEY)
    assert not store.delete_session(KEY)
    assert store.history(KEY) is None
    assert listed(store, 10) == (["s-2"], None)


def test_session_starts_again_after_delete(store: Store) -> None:
    """A session that was deleted starts with turn 1 and without a history."""
    run_turn(store, reply="hi")
    run_turn(store)
    store.delete_session(KEY)
    begun = store.begin_turn(request())
    assert (begun.turn, begun.history) == (1, [])
    assert ids(store) == []


def test_delete_fences_its_turns(store: Store) -> None:
    """Turns of a deleted session can neither be written, nor started, nor bring it back."""
    running, waiting = start(store), enqueue(store)
    store.append(running, 1, events(1, 1))
    store.delete_session(KEY)
    for fence in (running, waiting):
        for write in (
            lambda f: store.append(f, 2, events(2, 2)),
            lambda f: store.finish(f, 1, events(1, 2), []),
            lambda f: store.open_input(f, "q"),
            lambda f: store.take_input(f, "q"),
            store.claim_turn,
        ):
            with pytest.raises(Fenced):
                write(fence)
    assert store.heartbeat("worker", [running, waiting]).fenced == [running, waiting]
    assert store.history(KEY) is None


def test_delete_fences_its_turns_from_the_next_session(store: Store) -> None:
    """Turns of a deleted session stay fenced when another one has taken its name and numbers."""
    running, waiting = start(store), enqueue(store)
    store.delete_session(KEY)
    new = start(store)
    assert new.turn == running.turn
    for fence in (running, waiting):
        with pytest.raises(Fenced):
            store.finish(fence, 1, events(1, 1), [])
    end(store, new)
    with pytest.raises(Fenced):
        store.finish(waiting, 1, events(1, 1), [])
    assert ids(store) == ["1-1"]


def test_ended_turn_does_not_bring_its_session_back(store: Store) -> None:
    """A finish that is repeated after its session was deleted is fenced as well."""
    fence = run_turn(store)
    store.delete_session(KEY)
    with pytest.raises(Fenced):
        store.finish(fence, 1, events(1, 1), [])
    assert store.history(KEY) is None


def test_session_expires(make_store: MakeStore) -> None:
    """A session is forgotten a while after its last write; reads do not keep it."""
    store = make_store(StoreLimits(session_ttl_seconds=TTL_SECONDS, max_sessions_per_tenant=1))
    run_turn(store, reply="hi")
    assert contents(store) == ["hello", "hi"]
    wait_for(lambda: store.history(KEY) is None, "the session has expired")
    assert listed(store, 10) == ([], None)

    def may_begin() -> bool:
        try:
            return start(store, OTHER).turn == 1
        except RequestError:
            return False

    # The tenant's place was kept a moment after the session, and goes so much later.
    wait_for(may_begin, "its place is free")


def test_expired_turns_do_not_count(make_store: MakeStore) -> None:
    """The turns of an expired session leave the tenant's count."""
    store = make_store(StoreLimits(session_ttl_seconds=TTL_SECONDS, max_turns_per_tenant=1))
    start(store)
    wait_for(lambda: store.history(KEY) is None, "the session has expired")
    assert start(store, OTHER).turn == 1


@pytest.mark.parametrize("how", ["heartbeat", "append"])
def test_running_turn_keeps_its_session(make_store: MakeStore, how: str) -> None:
    """A session whose turn is renewed or written to outlives its time."""
    store = make_store(StoreLimits(session_ttl_seconds=TTL_SECONDS))
    order = request(message="one")
    store.begin_turn(order)
    fence = fence_of(order, 1)
    until = time.monotonic() + 2 * TTL_SECONDS

    def renewed() -> bool:
        if how == "heartbeat":
            store.heartbeat("worker", [fence])
        else:
            store.append(fence, 1, events(1, 1))
        return time.monotonic() > until

    wait_for(renewed, "two lifetimes have passed")
    assert contents(store) == ["one"]
    wait_for(lambda: store.history(KEY) is None, "the session has expired")


def test_queued_turn_keeps_its_session(make_store: MakeStore) -> None:
    """The heartbeat of a waiting turn renews its session too."""
    store = make_store(StoreLimits(session_ttl_seconds=TTL_SECONDS))
    running, waiting = start(store), enqueue(store)
    end(store, running)
    until = time.monotonic() + 2 * TTL_SECONDS

    def renewed() -> bool:
        store.heartbeat("worker", [waiting])
        return time.monotonic() > until

    wait_for(renewed, "two lifetimes have passed")
    assert store.claim_turn(waiting).state == "started"


def test_foreign_heartbeat_renews_nothing(make_store: MakeStore) -> None:
    """A heartbeat with the fence of an ended turn or another run does not keep the session."""
    store = make_store(StoreLimits(session_ttl_seconds=TTL_SECONDS))
    ended = run_turn(store)
    start(store)

    def gone() -> bool:
        store.heartbeat("worker", [ended, ended._replace(turn=2)])
        return store.history(KEY) is None

    wait_for(gone, "the session has expired")
