"""begin_turn: how a turn begins, is refused, or found again."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    START,
    IfBusy,
    MakeStore,
    contents,
    end,
    enqueue,
    events,
    fence_of,
    ids,
    refused,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.errors import Fenced, RequestError
from wsgi_app.store.base import SessionKey, Store, StoreLimits, TurnBegun


def test_turns_are_numbered_from_one(store: Store) -> None:
    """The turns of a session are numbered from 1, those of each session on their own."""
    assert [run_turn(store).turn for _ in range(3)] == [1, 2, 3]
    assert run_turn(store, OTHER).turn == 1


def test_started_turn_gets_history_before_it(store: Store) -> None:
    """A started turn gets the messages before its own, which is in the history from then on."""
    assert store.begin_turn(request(message="one")) == TurnBegun("started", 1, [])
    assert contents(store) == ["one"]


def test_history_grows_by_both_sides(store: Store) -> None:
    """The next turn gets the user's and the agent's messages of the earlier ones, in order."""
    run_turn(store, reply="hi")
    run_turn(store, reply="again")
    assert store.begin_turn(request(message="third")).history == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "again"},
    ]
    assert contents(store)[-1] == "third"


def test_a_regenerating_turn_replaces_the_newest_exchange(store: Store) -> None:
    """The user's newest message and its answer leave the history, once for a retried call."""
    run_turn(store, reply="one")
    run_turn(store, reply="two")
    again = request(message="again", regenerates=True)
    kept = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "one"}]
    assert store.begin_turn(again).history == kept
    assert store.begin_turn(again).history == kept
    assert contents(store) == ["hello", "one", "again"]


def test_regenerating_in_a_new_session_is_an_ordinary_turn(store: Store) -> None:
    """There is nothing to replace, and nothing fails."""
    assert store.begin_turn(request(message="one", regenerates=True)).history == []
    assert contents(store) == ["one"]


def test_reject_refuses_while_one_runs(store: Store) -> None:
    """With ``reject`` a busy session refuses, naming the turn that runs, and stays as it was."""
    fence = start(store)
    with pytest.raises(RequestError) as caught:
        store.begin_turn(request())
    assert (caught.value.code, caught.value.details) == ("session_busy", {"turn_id": "1"})
    end(store, fence)
    assert start(store).turn == 2


def test_reject_refuses_while_one_waits(store: Store) -> None:
    """A session is busy while a turn waits, even if none runs at the moment."""
    first = start(store)
    enqueue(store)
    end(store, first)
    with pytest.raises(RequestError) as caught:
        store.begin_turn(request())
    assert (caught.value.code, caught.value.details) == ("session_busy", {"turn_id": "2"})


@pytest.mark.parametrize("if_busy", ["reject", "enqueue", "interrupt"])
def test_idle_session_starts_at_once(store: Store, if_busy: IfBusy) -> None:
    """Whatever ``if_busy`` says, an idle session starts the turn, also after earlier ones."""
    for number in (1, 2):
        order = request(if_busy=if_busy)
        begun = store.begin_turn(order)
        assert (begun.state, begun.turn) == ("started", number)
        assert store.append(fence_of(order, number), 1, events(1, 1)).cancel is None
        end(store, fence_of(order, number))


def test_queue_is_bounded(make_store: MakeStore) -> None:
    """Only so many turns of a session wait; a place is free again when one has ended."""
    store = make_store(StoreLimits(max_queued_turns=2))
    start(store)
    waiting = [enqueue(store), enqueue(store)]
    with refused("queue_full"):
        store.begin_turn(request(if_busy="enqueue"))
    end(store, waiting[0])
    assert enqueue(store).turn == 4


def test_turns_to_be_cancelled_free_their_place(make_store: MakeStore) -> None:
    """A waiting turn that is to be cancelled does not count against the queue's bound."""
    store = make_store(StoreLimits(max_queued_turns=1))
    start(store)
    waiting = enqueue(store)
    store.request_cancel(KEY, waiting.turn, "user")
    enqueue(store)
    with refused("queue_full"):
        store.begin_turn(request(if_busy="enqueue"))


def test_interrupt_flags_all_before_it(make_store: MakeStore) -> None:
    """With ``interrupt`` what runs and waits is flagged, and the new turn waits, unbounded."""
    store = make_store(StoreLimits(max_queued_turns=1))
    running, waiting = start(store), enqueue(store)
    new = enqueue(store, if_busy="interrupt")
    assert store.append(running, 1, []).cancel == "interrupted"
    assert store.claim_turn(waiting).cancel == "interrupted"
    assert store.claim_turn(new).cancel is None


def test_interrupt_keeps_first_reason(store: Store) -> None:
    """An interrupt does not change the reason of a turn that is to be cancelled already."""
    running = start(store)
    store.request_cancel(KEY, None, "user")
    enqueue(store, if_busy="interrupt")
    assert store.append(running, 1, []).cancel == "user"


def test_refused_interrupt_flags_nothing(make_store: MakeStore) -> None:
    """An interrupt that a limit refuses leaves the running turn alone."""
    store = make_store(StoreLimits(max_turns_per_tenant=1))
    running = start(store)
    with refused("too_many_turns"):
        store.begin_turn(request(if_busy="interrupt"))
    assert store.append(running, 1, []).cancel is None


def test_tenant_has_so_many_turns(make_store: MakeStore) -> None:
    """Running and waiting turns of all of a tenant's sessions count, those of others do not."""
    store = make_store(StoreLimits(max_turns_per_tenant=3))
    first = start(store)
    enqueue(store)
    start(store, OTHER)
    third = SessionKey(KEY.tenant, "s-3")
    with refused("too_many_turns"):
        store.begin_turn(request(third))
    with refused("too_many_turns"):
        store.begin_turn(request(if_busy="enqueue"))
    assert store.history(third) is None
    assert start(store, SessionKey("rival", "s-1")).turn == 1
    end(store, first)
    assert start(store, third).turn == 1


def test_deleted_turns_do_not_count(make_store: MakeStore) -> None:
    """The turns of a deleted session leave the tenant's count."""
    store = make_store(StoreLimits(max_turns_per_tenant=1))
    start(store)
    store.delete_session(KEY)
    assert start(store, OTHER).turn == 1


def test_lost_turns_do_not_count(make_store: MakeStore) -> None:
    """The turns of a dead worker leave the tenant's count."""
    store = make_store(StoreLimits(max_turns_per_tenant=1))
    start(store)
    store.mark_lost("worker", b"{}")
    assert start(store, OTHER).turn == 1


def test_tenant_has_so_many_sessions(make_store: MakeStore) -> None:
    """A tenant at its bound of sessions gets no new one, until one is forgotten."""
    store = make_store(StoreLimits(max_sessions_per_tenant=2))
    run_turn(store)
    run_turn(store, OTHER)
    third = SessionKey(KEY.tenant, "s-3")
    with refused("too_many_sessions"):
        store.begin_turn(request(third))
    assert run_turn(store).turn == 2
    assert run_turn(store, SessionKey("rival", "s-3")).turn == 1
    store.delete_session(OTHER)
    assert run_turn(store, third).turn == 1


REPLY = 400 * "x"


def test_tenant_stores_so_many_bytes(make_store: MakeStore) -> None:
    """A tenant whose sessions hold its bound of bytes starts nothing, until some are forgotten."""
    store = make_store(
        StoreLimits(max_stored_bytes_per_tenant=4000, history_bytes=500, journal_bytes=500)
    )
    for _ in range(20):  # a session's own bounds keep it small
        run_turn(store, reply=REPLY)
    full = [SessionKey(KEY.tenant, f"full-{number}") for number in range(20)]
    with refused("too_many_sessions"):
        for key in full:
            run_turn(store, key, reply=REPLY)
    with refused("too_many_sessions"):
        run_turn(store)
    assert run_turn(store, SessionKey("rival", "s-1")).turn == 1
    assert sum(store.delete_session(key) for key in full) >= 4
    run_turn(store)
    for key in full[:4]:  # what was deleted counts no more
        run_turn(store, key, reply=REPLY)


def test_expired_sessions_bytes_do_not_count(make_store: MakeStore) -> None:
    """The bytes of a session that has expired are its tenant's to use again."""
    store = make_store(StoreLimits(max_stored_bytes_per_tenant=400, session_ttl_seconds=0.8))
    run_turn(store, reply=REPLY)
    with refused("too_many_sessions"):
        run_turn(store, OTHER)

    def begins() -> bool:
        with suppress(RequestError):
            return start(store, OTHER).turn == 1
        return False

    wait_for(begins, "room for another session")


@pytest.mark.parametrize(
    ("key", "stranger"),
    [
        (SessionKey("acme", "s-1"), SessionKey("rival", "s-1")),
        (SessionKey("a:b", "c"), SessionKey("a", "b:c")),
        (SessionKey("a{b}", "c"), SessionKey("b", "c")),
        (SessionKey("a", "c~d"), SessionKey("a~c", "d")),
        (SessionKey("*", "c"), SessionKey("a", "c")),
        (SessionKey("Zoë\n", "c"), SessionKey("Zoë", "c")),
    ],
)
def test_sessions_do_not_mix(store: Store, key: SessionKey, stranger: SessionKey) -> None:
    """Two sessions whose keys differ anywhere, above all in the tenant, share nothing."""
    fence = start(store, key)
    assert store.history(stranger) is None
    assert store.read(stranger, START, 1) is None
    assert store.request_cancel(stranger, None, "user") == []
    assert not store.delete_session(stranger)
    assert start(store, stranger).turn == 1
    with pytest.raises(Fenced):
        store.append(fence._replace(key=stranger), 1, events(1, 1))
    assert store.append(fence, 1, events(1, 2)).last_seq == 2
    assert ids(store, key=stranger) == []


# -- a request that comes again


def test_repeated_request_finds_running_turn(store: Store) -> None:
    """A request that is repeated while its turn runs is answered as the first time."""
    run_turn(store, reply="hi")
    order = request(message="second")
    first = store.begin_turn(order)
    assert first.state == "started"
    assert first.history
    # But for whose the session was before: it is not known any more.
    assert store.begin_turn(order)._replace(owner_before=first.owner_before) == first
    assert contents(store) == ["hello", "hi", "second"]


def test_repeated_request_finds_waiting_turn(store: Store) -> None:
    """A request that is repeated while its turn waits is answered as the first time."""
    start(store)
    order = request(if_busy="enqueue")
    assert store.begin_turn(order) == store.begin_turn(order) == TurnBegun("queued", 2, [])


def test_repeated_interrupt_spares_its_own_turn(store: Store) -> None:
    """A repeated interrupt does not interrupt the turn that it began."""
    start(store)
    order = request(if_busy="interrupt")
    begun = store.begin_turn(order)
    assert store.begin_turn(order) == begun
    assert store.claim_turn(fence_of(order, begun.turn)).cancel is None


def test_repeated_request_attaches_to_ended_turn(store: Store) -> None:
    """A request that is repeated after its turn has ended begins no second one."""
    order = request()
    store.begin_turn(order)
    store.mark_lost(order.worker_id, b"{}")
    assert store.begin_turn(order) == TurnBegun("attached", 1, [])
    run_turn(store)
    assert store.begin_turn(order) == TurnBegun("attached", 1, [])
    assert start(store).turn == 3


def test_repeated_request_passes_the_limits(make_store: MakeStore) -> None:
    """A repeated request finds its turn although the limits would refuse another one."""
    store = make_store(
        StoreLimits(max_queued_turns=1, max_turns_per_tenant=2, max_sessions_per_tenant=1)
    )
    running, waiting = request(), request(if_busy="enqueue")
    store.begin_turn(running)
    store.begin_turn(waiting)
    assert store.begin_turn(running).state == "started"
    assert store.begin_turn(waiting).state == "queued"


def test_repeated_request_after_delete_can_write(store: Store) -> None:
    """A request that is repeated after its session was deleted begins a turn that is written to."""
    order = request()
    store.begin_turn(order)
    store.delete_session(KEY)
    assert store.begin_turn(order) == TurnBegun("started", 1, [])
    end(store, fence_of(order, 1), 2)
    store.delete_session(KEY)
    run_turn(store)
    assert store.begin_turn(order).turn == 2
    end(store, fence_of(order, 2), 2)


# -- idempotency keys


def test_key_attaches_to_its_turn(store: Store) -> None:
    """The same key attaches to its turn while that runs, and after its end."""
    store.begin_turn(first := request(idempotency_key="k"))
    assert store.begin_turn(request(idempotency_key="k")) == TurnBegun("attached", 1, [])
    end(store, fence_of(first, 1))
    assert store.begin_turn(request(idempotency_key="k")) == TurnBegun("attached", 1, [])
    assert start(store).turn == 2


def test_key_attaches_to_waiting_turn(store: Store) -> None:
    """The same key attaches to its turn while that waits, whatever ``if_busy`` says now."""
    running = start(store)
    store.begin_turn(request(idempotency_key="k", if_busy="enqueue"))
    again = request(idempotency_key="k", if_busy="interrupt")
    assert store.begin_turn(again) == TurnBegun("attached", 2, [])
    assert store.append(running, 1, []).cancel is None


def test_key_of_another_request_is_refused(store: Store) -> None:
    """The same key with another request's digest is refused, running or ended."""
    store.begin_turn(first := request(idempotency_key="k"))
    other = request(idempotency_key="k", digest="other", if_busy="enqueue")
    with refused("idempotency_key_reused"):
        store.begin_turn(other)
    end(store, fence_of(first, 1))
    with refused("idempotency_key_reused"):
        store.begin_turn(other)
    assert start(store).turn == 2


def test_refused_request_keeps_its_key(store: Store) -> None:
    """A refused request does not use its key up."""
    running = start(store)
    with refused("session_busy"):
        store.begin_turn(request(idempotency_key="k", digest="first"))
    end(store, running)
    begun = store.begin_turn(request(idempotency_key="k", digest="second"))
    assert (begun.state, begun.turn) == ("started", 2)


def test_newest_keys_are_known(make_store: MakeStore) -> None:
    """Only the newest keys are known; attaching to a turn does not make its key newer."""
    store = make_store(StoreLimits(max_idempotency_keys=2))
    for name in ("a", "b"):
        store.begin_turn(order := request(idempotency_key=name))
        end(store, fence_of(order, 1 if name == "a" else 2))
    assert store.begin_turn(request(idempotency_key="a")).turn == 1
    store.begin_turn(order := request(idempotency_key="c"))
    end(store, fence_of(order, 3))
    assert store.begin_turn(request(idempotency_key="b")) == TurnBegun("attached", 2, [])
    assert store.begin_turn(request(idempotency_key="c")) == TurnBegun("attached", 3, [])
    assert store.begin_turn(request(idempotency_key="a")).state == "started"


def test_keys_belong_to_their_session(store: Store) -> None:
    """The same key on another session, or on one made again, is another key."""
    store.begin_turn(request(idempotency_key="k"))
    assert store.begin_turn(request(OTHER, idempotency_key="k")).state == "started"
    store.delete_session(KEY)
    assert store.begin_turn(request(idempotency_key="k", digest="other")).state == "started"
