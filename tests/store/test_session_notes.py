"""Sessions that are made without a turn, and what is kept with them."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    START,
    MakeStore,
    at_once,
    contents,
    ids,
    refused,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.errors import RequestError
from wsgi_app.events import EventId
from wsgi_app.store.base import SessionKey, Store, StoreLimits

TTL_SECONDS = 0.8


def test_a_session_is_there_without_a_turn(store: Store) -> None:
    """It is described, listed, read and deleted, and its note is turn 0's."""
    assert store.note_session(KEY, b"a", None)
    state = store.state_of(KEY)
    assert state is not None
    assert (state.turn, state.active_turns, state.owner) == (0, (), "")
    assert time.time() - 60 < state.created_at <= state.updated_at
    assert store.list_sessions(KEY.tenant, 9, None).sessions == [state]
    assert store.recent_sessions([KEY.tenant], 60) == [KEY]
    assert (contents(store), ids(store)) == ([], [])
    assert store.turn_note(KEY, 0) == b"a"
    assert store.turn_note(KEY, 1) == b""
    assert store.delete_session(KEY)
    assert not store.delete_session(KEY)
    assert (store.state_of(KEY), store.turn_note(KEY, 0)) == (None, b"")
    assert store.list_sessions(KEY.tenant, 9, None).sessions == []


def test_a_session_is_made_once(store: Store) -> None:
    """One that is there is left alone; a repeated call finds what the first did."""
    assert store.note_session(KEY, b"a", None)
    assert store.note_session(KEY, b"a", None)
    assert not store.note_session(KEY, b"b", None)
    assert store.turn_note(KEY, 0) == b"a"
    run_turn(store, OTHER)
    assert not store.note_session(OTHER, b"a", None)
    assert store.turn_note(OTHER, 0) == b""


def test_a_session_that_is_made_as_another_is_deleted_is_listed(store: Store) -> None:
    """And counted: the end of the one before it is not that of the new one."""
    for number in range(30):
        key = SessionKey(KEY.tenant, f"s-{number}")
        assert store.note_session(key, b"before", None)
        make = partial(store.note_session, key, b"behind", None)
        at_once([make, partial(store.delete_session, key)])
        state = store.state_of(key)
        listed = store.list_sessions(KEY.tenant, 99, None).sessions
        assert listed == ([] if state is None else [state])
        store.delete_session(key)


def test_one_of_many_makes_a_session(store: Store) -> None:
    """Of calls at once, each with a note of its own, one makes the session."""
    notes = [b"%d" % number for number in range(8)]
    calls = [
        lambda note=note: note if store.note_session(KEY, note, None) else None for note in notes
    ]
    assert at_once(calls) == [store.turn_note(KEY, 0)]


def test_a_note_takes_the_place_of_the_one_that_was_seen(store: Store) -> None:
    """A note that another has replaced is replaced no more; an unknown session gets none."""
    assert not store.note_session(KEY, b"a", b"")
    assert store.state_of(KEY) is None
    run_turn(store)
    assert not store.note_session(KEY, b"b", b"a")
    assert store.note_session(KEY, b"a", b"")
    assert store.note_session(KEY, b"b", b"a")
    assert store.note_session(KEY, b"b", b"a")
    assert not store.note_session(KEY, b"c", b"a")
    assert store.turn_note(KEY, 0) == b"b"
    assert store.turn_note(KEY, 1) == b""


def test_turns_begin_in_a_session_that_was_made(store: Store) -> None:
    """The first one is turn 1, creation and note stay, and a reader at the start misses nothing."""
    store.note_session(KEY, b"a", None)
    made = store.state_of(KEY)
    assert made is not None
    for cursor in (START, EventId(1, 0)):
        found = store.read(KEY, cursor, 9)
        assert found is not None
        assert (found.events, found.live_turn, found.newest_turn) == ([], None, 0)
    assert run_turn(store).turn == 1
    found = store.read(KEY, EventId(1, 0), 9)
    assert found is not None
    assert not found.has_gap
    state = store.state_of(KEY)
    assert state is not None
    assert state.created_at == made.created_at
    assert store.turn_note(KEY, 0) == b"a"
    assert ids(store) == ["1-1"]


def test_a_session_begins_with_a_history(store: Store) -> None:
    """It is what the first turn comes behind; a session that is there keeps its own."""
    told = [{"role": "user", "content": "a", "id": "x"}, {"role": "assistant", "content": "b"}]
    assert store.note_session(KEY, b"a", None, told)
    assert store.note_session(KEY, b"b", b"a", [])
    view = store.history(KEY)
    assert view is not None
    assert (view.turn, view.messages) == (0, told)
    begun = store.begin_turn(request())
    assert begun.history == told
    assert not store.note_session(KEY, b"c", None, told)
    assert contents(store) == ["a", "b", "hello"]


def test_a_history_counts_as_stored(make_store: MakeStore) -> None:
    """What a session begins with is among the tenant's bytes, until it is deleted."""
    store = make_store(StoreLimits(max_stored_bytes_per_tenant=100))
    assert store.note_session(KEY, b"a", None, [{"role": "user", "content": "x" * 200}])
    with refused("too_many_sessions"):
        store.note_session(OTHER, b"a", None)
    with refused("too_many_sessions"):
        store.begin_turn(request(OTHER))
    store.delete_session(KEY)
    assert store.note_session(OTHER, b"a", None)


def test_followers_hear_of_the_first_turn(store: Store) -> None:
    """A heartbeat tells the follower of a session without a turn that one has begun."""
    store.note_session(KEY, b"a", None)
    before = store.heartbeat("reader", [], [KEY]).followed[KEY]
    start(store)
    assert store.heartbeat("reader", [], [KEY]).followed[KEY] != before


def test_sessions_without_turns_count(make_store: MakeStore) -> None:
    """They are among the tenant's sessions, for turns and for each other; one deleted is not."""
    store = make_store(StoreLimits(max_sessions_per_tenant=2))
    assert store.note_session(KEY, b"a", None)
    run_turn(store, OTHER)
    third = SessionKey(KEY.tenant, "s-3")
    with refused("too_many_sessions"):
        store.note_session(third, b"a", None)
    with refused("too_many_sessions"):
        store.begin_turn(request(third))
    assert store.state_of(third) is None
    assert store.note_session(KEY, b"a", None)
    assert store.note_session(SessionKey("rival", "s-3"), b"a", None)
    run_turn(store)
    store.delete_session(KEY)
    assert store.note_session(third, b"a", None)


def test_a_tenant_that_stores_too_much_makes_none(make_store: MakeStore) -> None:
    """A tenant whose sessions hold too many bytes makes none without turns either."""
    store = make_store(StoreLimits(max_stored_bytes_per_tenant=100))
    run_turn(store, OTHER, reply="x" * 200)
    with refused("too_many_sessions"):
        store.note_session(KEY, b"a", None)
    assert store.note_session(OTHER, b"a", b"")


def test_another_tenants_session_is_unknown(store: Store) -> None:
    """A session of the same name is another one."""
    rival = SessionKey("rival", KEY.session_id)
    store.note_session(KEY, b"a", None)
    assert store.turn_note(rival, 0) == b""
    assert not store.note_session(rival, b"b", b"a")
    assert store.note_session(rival, b"b", None)
    assert store.turn_note(KEY, 0) == b"a"


@pytest.mark.timeout(30)
def test_a_note_is_a_write(make_store: MakeStore) -> None:
    """A session without turns expires, and one whose note is replaced lives on, in lists too."""
    store = make_store(StoreLimits(session_ttl_seconds=TTL_SECONDS, max_sessions_per_tenant=2))
    store.note_session(KEY, b"0", None)
    store.note_session(OTHER, b"a", None)
    count = 0

    def other_is_gone() -> bool:
        nonlocal count
        count += 1
        assert store.note_session(KEY, b"%d" % count, b"%d" % (count - 1))
        return store.state_of(OTHER) is None

    wait_for(other_is_gone, "the session expires")
    # The tenant's list has one place again, and one that is still taken.
    wait_for(lambda: _is_made(store), "there is room")
    assert [one.session_id for one in store.list_sessions(KEY.tenant, 9, None).sessions] == [
        *("s-2", KEY.session_id)
    ]


def _is_made(store: Store) -> bool:
    try:
        return store.note_session(OTHER, b"b", None)
    except RequestError:
        return False
