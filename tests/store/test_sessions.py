"""Sessions: described, listed, deleted, expired."""

from __future__ import annotations

import base64
import time

import msgspec
import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    MakeStore,
    at_once,
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
from wsgi_app.errors import Fenced, RequestError
from wsgi_app.store.base import Fence, SessionKey, SessionView, Store, StoreLimits
from wsgi_app.store.base.sessions import NAME_SECONDS
from wsgi_app.store.memory import MemoryStore
from wsgi_app.store.memory.turn_names import MAX_NAMES

TTL_SECONDS = 0.8


def describe(store: Store, key: SessionKey = KEY) -> SessionView:
    """Describe a session that is there."""
    view = store.history(key)
    assert view is not None
    return view


def test_long_sessions_are_read_few_at_a_time(make_store: MakeStore) -> None:
    """Many reads of a long history are refused or whole, and hold up none of a short one."""
    store = make_store(StoreLimits())
    run_turn(store, reply=4_000_000 * "x")
    run_turn(store, OTHER, reply="short")
    found = at_once([*64 * [lambda: describe(store)], *8 * [lambda: describe(store, OTHER)]])
    assert all(isinstance(view, SessionView) for view in found[64:])
    whole = [view for view in found[:64] if isinstance(view, SessionView)]
    assert whole
    assert all(len(str(view.messages[-1]["content"])) == 4_000_000 for view in whole)
    refusals = [one for one in found[:64] if not isinstance(one, SessionView)]
    assert {getattr(one, "code", one) for one in refusals} <= {"at_capacity"}
    assert bool(refusals) == store.shared


def test_unknown_session_has_no_description(store: Store) -> None:
    """A session that no turn was begun in is unknown."""
    assert store.history(KEY) is None


def test_a_session_may_be_deleted_only_while_a_turn_is_its_newest(store: Store) -> None:
    """A delete that names another turn than the newest one changes nothing."""
    run_turn(store)
    run_turn(store)
    assert not store.delete_session(KEY, 1)
    assert describe(store).turn == 2
    assert store.delete_session(KEY, 2)
    assert store.history(KEY) is None


def test_description_follows_the_turns(store: Store) -> None:
    """A session tells its newest turn, what runs and waits in order, and who owns it."""
    running = start(store, worker_id="a")
    waiting = enqueue(store, worker_id="b")
    view = describe(store)
    assert (view.session_id, view.turn, view.active_turns, view.owner) == ("s-1", 2, (1, 2), "a")
    assert view.messages == [{"role": "user", "content": "hello"}]
    end(store, running)
    assert (describe(store).active_turns, describe(store).owner) == ((2,), "a")
    store.claim_turn(waiting)
    assert (describe(store).active_turns, describe(store).owner) == ((2,), "b")
    end(store, waiting)
    view = describe(store)
    assert (view.turn, view.active_turns, view.owner) == (2, (), "b")


def test_times_are_those_of_writes(store: Store) -> None:
    """Times are seconds since the epoch: of the session's making, and of its newest write."""
    before = time.time() - 1
    fence = start(store)
    first = describe(store)
    assert before < first.created_at <= first.updated_at < time.time() + 1
    updated_at = first.updated_at
    for write in (
        lambda: store.append(fence, 1, events(1, 1)),
        lambda: store.finish(fence, 2, events(2, 2), []),
        lambda: store.begin_turn(request()),
    ):
        wait_for(lambda: time.time() > updated_at + 0.01, "the clock goes on")  # noqa: B023 - called at once
        write()
        view = describe(store)
        assert view.created_at == first.created_at
        assert view.updated_at > updated_at
        updated_at = view.updated_at


# -- list


def listed(store: Store, limit: int, cursor: str | None = None) -> tuple[list[str], str | None]:
    """Names of the sessions on a page, and the cursor behind it."""
    page = store.list_sessions(KEY.tenant, limit, cursor)
    return [view.session_id for view in page.sessions], page.next_cursor


def make_sessions(store: Store, *names: str) -> None:
    """Make sessions, one after the other."""
    for name in names:
        run_turn(store, SessionKey(KEY.tenant, name))


def test_list_of_nothing(store: Store) -> None:
    """A tenant without sessions has an empty list, whatever others have."""
    start(store, SessionKey("rival", "s-1"))
    assert listed(store, 10) == ([], None)


def test_newest_sessions_come_first(store: Store) -> None:
    """Sessions are listed by creation, newest first, however old their last write is."""
    make_sessions(store, "a", "c", "b", "a")
    assert listed(store, 10) == (["b", "c", "a"], None)


def test_a_sessions_state_is_its_historys(store: Store) -> None:
    """A session is listed, and described without its messages, as with them."""
    run_turn(store, reply="hi")
    start(store)
    enqueue(store)
    view, state = describe(store), store.state_of(KEY)
    assert store.list_sessions(KEY.tenant, 1, None).sessions == [state]
    for name in ("session_id", "turn", "active_turns", "owner", "created_at", "updated_at"):
        assert getattr(state, name) == getattr(view, name), name
    assert store.state_of(OTHER) is None
    assert store.history(OTHER) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_have_neither_hole_nor_double(store: Store, limit: int) -> None:
    """Pages of any size give every session once, and the last one has no cursor."""
    names = [f"s-{number}" for number in range(7)]
    make_sessions(store, *names)
    found, cursor = listed(store, limit)
    while cursor is not None:
        page, cursor = listed(store, limit, cursor)
        assert page
        found += page
    assert found == names[::-1]


def test_pages_are_stable(store: Store) -> None:
    """Sessions that come, go or are written to between two pages do not shift the next one."""
    make_sessions(store, "a", "b", "c", "d", "e")
    first, cursor = listed(store, 2)
    assert first == ["e", "d"]
    make_sessions(store, "new", "b")
    store.delete_session(SessionKey(KEY.tenant, "d"))
    store.delete_session(SessionKey(KEY.tenant, "c"))
    assert listed(store, 2, cursor) == (["b", "a"], None)


def test_session_made_again_is_new(store: Store) -> None:
    """A session that was deleted and made again is listed by its second creation."""
    make_sessions(store, "a", "b")
    store.delete_session(SessionKey(KEY.tenant, "a"))
    make_sessions(store, "a")
    assert listed(store, 10) == (["a", "b"], None)


BAD_TEXTS = [
    "",
    " ",
    "1.5",
    "x y",
    "nan s-1",
    "inf s-1",
    "-inf s-1",
    "1_0.5 s-1",
    " 1.5 s-1",
    "1e400 s-1",
    "\x00",
]
BAD_CURSORS = [
    "",
    "x",
    "0",
    "====",
    "not base64!",
    "über",
    "\ud800",
    "\x00",
    "A" * 100_000,
    base64.urlsafe_b64encode(b"\xff\xfe s-1").decode(),
    base64.urlsafe_b64encode(b"1.5 \xff").decode(),
    *(base64.urlsafe_b64encode(text.encode()).decode() for text in BAD_TEXTS),
]


@pytest.mark.parametrize("cursor", BAD_CURSORS, ids=range(len(BAD_CURSORS)))
def test_bad_cursor_is_a_value_error(store: Store, cursor: str) -> None:
    """A cursor that no list has given is a ValueError, whatever it is made of."""
    make_sessions(store, "a", "b")
    with pytest.raises(ValueError):  # noqa: PT011 - its text is no part of the contract
        store.list_sessions(KEY.tenant, 1, cursor)


def test_changed_cursor_is_a_value_error(store: Store) -> None:
    """A real cursor with something before or behind it, or cut, is none."""
    make_sessions(store, "a", "b")
    cursor = listed(store, 1)[1]
    assert cursor is not None
    for bad in (
        cursor + "x",
        cursor + "\n",
        "!" + cursor,
        cursor + "====",
        cursor[: len(cursor) // 2],
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - its text is no part of the contract
            store.list_sessions(KEY.tenant, 1, bad)


# -- delete


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


# -- expiry


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


# -- the store itself


def test_ping_answers(store: Store) -> None:
    """A store that is there answers a ping."""
    store.ping()


def test_close_may_be_repeated(store: Store) -> None:
    """A store may be closed more than once."""
    store.listen(lambda _: None)
    store.close()
    store.close()


def test_recent_sessions(store: Store) -> None:
    """Those of the named tenants that were created within the time, deleted ones or not."""
    elsewhere = SessionKey("another", "s")
    for key in (KEY, OTHER, elsewhere):
        run_turn(store, key)
    assert set(store.recent_sessions([KEY.tenant], 60)) >= {KEY}
    assert elsewhere in store.recent_sessions([KEY.tenant, "another"], 60)
    assert store.recent_sessions(["nobody"], 60) == []
    assert store.recent_sessions([], 60) == []
    wait_for(lambda: not store.recent_sessions([KEY.tenant], 0.2), "both are older than that")


def test_a_turn_is_found_by_its_name(store: Store) -> None:
    """Its tenant's other requests find it, by any text; of two of one name, the later one."""
    name = "a call: 1 {é}\n"
    assert store.named_turn(KEY.tenant, name) is None
    store.name_turn(KEY, 3, name)
    assert store.named_turn(KEY.tenant, name) == (KEY, 3)
    assert store.named_turn("another", name) is None
    assert store.named_turn(KEY.tenant, "") is None
    store.name_turn(OTHER, 1, name)
    assert store.named_turn(KEY.tenant, name) == (OTHER, 1)


def test_memory_keeps_so_many_names_for_so_long() -> None:
    """The oldest of too many leave, and each once its time is over."""
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    for number in range(MAX_NAMES + 1):
        store.name_turn(KEY, number, f"call {number}")
    assert store.named_turn(KEY.tenant, "call 0") is None
    assert store.named_turn(KEY.tenant, "call 1") == (KEY, 1)
    now[0] = NAME_SECONDS
    assert store.named_turn(KEY.tenant, "call 1") is None


def test_a_turns_note_is_kept_as_long_as_its_journal(make_store: MakeStore) -> None:
    """What a wire keeps with a turn comes back, and leaves with the turn's events."""
    store = make_store(StoreLimits(journal_bytes=10))
    first = store.begin_turn(msgspec.structs.replace(request(), note=b"a note"))
    assert store.turn_note(KEY, first.turn) == b"a note"
    assert store.turn_note(KEY, first.turn + 1) == b""
    assert store.turn_note(OTHER, 1) == b""
    store.delete_session(KEY)
    assert store.turn_note(KEY, first.turn) == b""
    noted = msgspec.structs.replace(request(OTHER, run_id="noted"), note=b"a note")
    begun = store.begin_turn(noted)
    store.finish(Fence(OTHER, begun.turn, "noted"), 1, events(1, 3), [])
    assert store.turn_note(OTHER, begun.turn) == b"a note"
    run_turn(store, OTHER)
    assert store.turn_note(OTHER, begun.turn) == b""
