"""Sessions as they are described, and what a store keeps beside their turns."""

from __future__ import annotations

import time

import msgspec

from tests.store.steps import (
    KEY,
    OTHER,
    MakeStore,
    at_once,
    describe,
    end,
    enqueue,
    events,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.store.base import Fence, SessionKey, SessionView, Store, StoreLimits
from wsgi_app.store.base.sessions import NAME_SECONDS
from wsgi_app.store.memory import MemoryStore
from wsgi_app.store.memory.turn_names import MAX_NAMES


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
