"""heartbeat and mark_lost: what lives and dies with a worker."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    MakeStore,
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
from wsgi_app.events import LOST_SEQ, CancelReason, EventId
from wsgi_app.store.base import (
    Fence,
    Heartbeat,
    Message,
    MinuteInfo,
    SessionKey,
    Store,
    StoreLimits,
    TurnBegun,
    TurnInfo,
    WorkerInfo,
)

ERROR = b'{"type":"error","code":"worker_lost"}'
LEASE_SECONDS = 0.5


def test_heartbeat_brings_flags(store: Store) -> None:
    """A heartbeat tells which of the turns it names are to be cancelled, running and queued."""
    running, waiting, other = start(store), enqueue(store), start(store, OTHER)
    fences = [running, waiting, other]
    assert store.heartbeat("worker", fences) == Heartbeat({}, [])
    store.request_cancel(KEY, None, "user")
    flags: dict[Fence, CancelReason] = {running: "user", waiting: "user"}
    assert store.heartbeat("worker", fences) == Heartbeat(flags, [])
    assert store.heartbeat("worker", [waiting]).cancels == {waiting: "user"}
    assert store.heartbeat("worker", []) == Heartbeat({}, [])


def test_heartbeat_returns_what_is_fenced(store: Store) -> None:
    """A heartbeat tells which turns are not the worker's: ended, of another run, or deleted."""
    ended = start(store)
    store.request_cancel(KEY, None, "user")
    end(store, ended)
    running = start(store)
    store.request_cancel(KEY, None, "user")
    wrong = [ended, running._replace(run_id="other"), running._replace(turn=1)]
    assert store.heartbeat("worker", [*wrong, running]) == Heartbeat({running: "user"}, wrong)
    store.delete_session(KEY)
    assert store.heartbeat("worker", [running]) == Heartbeat({}, [running])
    start(store)
    assert store.heartbeat("worker", [running]) == Heartbeat({}, [running])


def test_heartbeat_returns_lost_turns(store: Store) -> None:
    """A worker that was taken for dead learns by its heartbeat that its turns have ended."""
    running, waiting = start(store), enqueue(store)
    store.mark_lost("worker", ERROR)
    assert store.heartbeat("worker", [running, waiting]) == Heartbeat({}, [running, waiting])


def test_heartbeat_returns_followed_sessions(store: Store) -> None:
    """What it says of a followed session changes with each turn that begins, and its deletion."""
    run_turn(store)

    def followed() -> str:
        beat = store.heartbeat("worker", [start_other], [KEY, SessionKey("t", "unknown")])
        assert beat.followed[SessionKey("t", "unknown")] == ""
        return beat.followed[KEY]

    start_other = start(store, OTHER)
    found = [followed()]
    store.follow("worker", KEY)
    assert followed() == found[0]
    for _ in range(2):
        run_turn(store)
        found.append(followed())
    store.delete_session(KEY)
    found.append(followed())
    run_turn(store)
    found.append(followed())
    assert len(set(found)) == len(found)
    assert found[3] == ""


def test_heartbeat_makes_no_session(store: Store) -> None:
    """A turn whose session is gone is not fenced, as it may make it again; nor made by this."""
    assert store.heartbeat("worker", [fence_of(request(), 1)]) == Heartbeat({}, [])
    assert store.history(KEY) is None


def test_lost_turns_end(store: Store) -> None:
    """All turns of a dead worker end with the given event, those of others go on."""
    dead = [
        start(store, worker_id="dead"),
        enqueue(store, worker_id="dead"),
        start(store, OTHER, worker_id="dead"),
        start(store, SessionKey("rival", "s-1"), worker_id="dead"),
    ]
    alive = start(store, SessionKey("rival", "s-2"), worker_id="alive")
    store.append(dead[0], 1, events(1, 2))
    assert sorted(store.mark_lost("dead", ERROR)) == sorted(dead)
    assert ids(store) == ["1-1", "1-2", f"1-{LOST_SEQ}", f"2-{LOST_SEQ}"]
    assert ids(store, key=OTHER) == [f"1-{LOST_SEQ}"]
    assert store.append(alive, 1, events(1, 1)).last_seq == 1
    assert start(store).turn == 3


def told(events: Sequence[bytes]) -> list[Message]:
    """Messages that show of which events they were made."""
    return [{"role": "assistant", "content": event.decode()} for event in events]


def test_what_a_lost_turns_journal_holds_is_in_the_history(store: Store) -> None:
    """Its messages are made of all of its events, for mark_lost and settle_session, once."""
    fence = start(store, worker_id="dead")
    many = [b'{"seq":%d}' % number for number in range(1500)]
    store.append(fence, 1, many)
    assert store.mark_lost("dead", ERROR, told) == [fence]
    assert store.mark_lost("dead", ERROR, told) == []
    kept = start(store, OTHER, worker_id="unknown")
    store.append(kept, 1, many[:1])
    assert store.settle_session(OTHER, ERROR, told) == [kept]
    for key, count in ((KEY, 1500), (OTHER, 1)):
        view = store.history(key)
        assert view is not None
        assert view.messages[1:] == told(many[:count])


def test_a_queued_turn_that_is_lost_leaves_no_message(store: Store) -> None:
    """It ends with the running one of its worker, which alone is in the history."""
    running, waiting = start(store, worker_id="dead"), enqueue(store, worker_id="dead")
    store.append(running, 1, events(1, 1))
    assert sorted(store.mark_lost("dead", ERROR, told)) == sorted([running, waiting])
    view = store.history(KEY)
    assert view is not None
    assert [message["role"] for message in view.messages] == ["user", "assistant"]


def test_events_that_come_while_a_turn_is_lost_are_in_the_history(store: Store) -> None:
    """A worker that lives after all may write until its turn's end; nothing of it is missing."""
    fence = start(store, worker_id="dead")
    store.append(fence, 1, events(1, 1))
    seen: list[int] = []

    def busy(so_far: Sequence[bytes]) -> list[Message]:
        if not seen and store.shared:  # one process's store lets nobody in between
            store.append(fence, 2, events(2, 1))
        seen.append(len(so_far))
        return told(so_far)

    store.mark_lost("dead", ERROR, busy)
    view, found = store.history(KEY), store.read(KEY, EventId(0, 0), 100)
    assert view is not None
    assert found is not None
    assert view.messages[1:] == told([event for _, event in found.events[:-1]])


def test_repeated_mark_lost_ends_nothing_more(store: Store) -> None:
    """A worker is lost once: to mark it again ends nothing and writes nothing."""
    run_turn(store)
    fence = start(store)
    assert store.mark_lost("worker", ERROR) == [fence]
    assert store.mark_lost("worker", b'{"other":1}') == []
    assert ids(store) == ["1-1", f"2-{LOST_SEQ}"]


def test_unknown_worker_has_nothing_to_lose(store: Store) -> None:
    """A worker without turns, or whose turns have all ended, loses none."""
    run_turn(store)
    assert store.mark_lost("worker", ERROR) == []
    assert store.mark_lost("nobody", ERROR) == []
    assert ids(store) == ["1-1"]


def test_turn_of_waiting_worker_is_its_own(store: Store) -> None:
    """A queued turn belongs to the worker that took it, not to the one before it in the queue."""
    running = start(store, worker_id="alive")
    waiting = enqueue(store, worker_id="dead")
    assert store.mark_lost("dead", ERROR) == [waiting]
    assert store.append(running, 1, events(1, 1)).last_seq == 1
    end(store, running)
    assert ids(store) == ["1-1", f"2-{LOST_SEQ}"]


def test_lost_turns_history(store: Store) -> None:
    """The user's message of a lost turn stays in the history, that of a waiting one does not."""
    start(store, message="one")
    enqueue(store, message="two")
    store.mark_lost("worker", ERROR)
    assert store.begin_turn(request()).history == [{"role": "user", "content": "one"}]


def test_key_attaches_to_lost_turn(store: Store) -> None:
    """An idempotency key still attaches to its turn when that was lost."""
    store.begin_turn(request(idempotency_key="k"))
    store.mark_lost("worker", ERROR)
    assert store.begin_turn(request(idempotency_key="k")) == TurnBegun("attached", 1, [])


def test_late_finish_of_lost_turn_is_fenced(store: Store) -> None:
    """A worker that was taken for dead cannot end its turn a second time."""
    fence = start(store)
    store.append(fence, 1, events(1, 1))
    store.mark_lost("worker", ERROR)
    for first_seq in (1, 2, 9):
        with pytest.raises(Fenced):
            store.finish(fence, first_seq, events(first_seq, first_seq), [])
    assert ids(store) == ["1-1", f"1-{LOST_SEQ}"]


# -- leases


def test_silent_worker_is_found(make_store: MakeStore) -> None:
    """A worker whose last heartbeat is a lease ago is lost, until it is marked or beats again."""
    store = make_store(StoreLimits(lease_seconds=LEASE_SECONDS))
    store.heartbeat("silent", [])
    store.heartbeat("back", [])
    assert store.lost_workers() == []
    wait_for(lambda: sorted(store.lost_workers()) == ["back", "silent"], "two leases are over")
    store.heartbeat("back", [])
    assert store.lost_workers() == ["silent"]
    store.mark_lost("silent", ERROR)
    assert "silent" not in store.lost_workers()


def test_worker_that_leaves_is_not_lost(make_store: MakeStore) -> None:
    """A worker that has taken its leave is not found when its lease is over."""
    store = make_store(StoreLimits(lease_seconds=LEASE_SECONDS))
    store.heartbeat("gone", [])
    store.heartbeat("silent", [])
    store.leave("gone")
    wait_for(lambda: store.lost_workers() == ["silent"], "a lease is over")


def test_workers_report_about_themselves(store: Store) -> None:
    """Every living worker is listed with what its last heartbeat told, and when that came."""
    told = WorkerInfo(
        hostname="h", pid=7, started_at=5.5, sent_at=6.5, turns=3, slots_used=1, slots=9
    )
    store.heartbeat("one", [], (), WorkerInfo(pid=1))
    store.heartbeat("one", [], (), told)
    store.heartbeat("other", [])
    one, other = store.workers()
    assert (one.worker_id, one.info) == ("one", told)
    assert (other.worker_id, other.info) == ("other", WorkerInfo())
    assert abs(one.seen_at - time.time()) < 60
    assert one.seen_at <= other.seen_at


def test_workers_that_are_gone_are_not_listed(make_store: MakeStore) -> None:
    """A worker is not listed once it has left, was marked lost, or its lease is over."""
    store = make_store(StoreLimits(lease_seconds=LEASE_SECONDS))
    for worker_id in ("gone", "lost", "silent"):
        store.heartbeat(worker_id, [], (), WorkerInfo(hostname=worker_id))
    store.leave("gone")
    store.mark_lost("lost", ERROR)
    wait_for(lambda: store.workers() == [], "the lease is over")
    assert store.lost_workers() == ["silent"]
    store.heartbeat("gone", [])
    assert [(view.worker_id, view.info) for view in store.workers()] == [("gone", WorkerInfo())]


def test_settling_spares_living_workers(store: Store) -> None:
    """Turns that a living worker lists, or has begun since its last heartbeat, go on."""
    store.heartbeat("worker", [])
    running, waiting = start(store), enqueue(store)
    assert store.settle_session(KEY, ERROR) == []
    store.heartbeat("worker", [running, waiting])
    assert store.settle_session(KEY, ERROR) == []
    assert store.settle_session(OTHER, ERROR) == []
    assert store.append(running, 1, events(1, 1)).last_seq == 1


def test_settling_ends_turns_of_unknown_workers(store: Store) -> None:
    """Turns of a worker that nobody knows end, running and waiting; those of others go on."""
    store.heartbeat("alive", [])
    lost = [start(store, worker_id="unknown"), enqueue(store, worker_id="unknown")]
    kept = enqueue(store, worker_id="alive")
    assert sorted(store.settle_session(KEY, ERROR)) == sorted(lost)
    assert ids(store) == [f"1-{LOST_SEQ}", f"2-{LOST_SEQ}"]
    assert store.settle_session(KEY, ERROR) == []
    assert store.claim_turn(kept).state == "started"


def test_settling_ends_turns_that_are_not_listed(make_store: MakeStore) -> None:
    """A turn that its living worker has not listed for a lease ends: it was never learnt of."""
    store = make_store(StoreLimits(lease_seconds=LEASE_SECONDS))
    store.heartbeat("worker", [])
    listed, unlisted = start(store), start(store, OTHER)

    def settled() -> list[Fence]:
        store.heartbeat("worker", [listed])
        return store.settle_session(OTHER, ERROR)

    assert wait_for(settled, "the turn is given up") == [unlisted]
    assert store.settle_session(KEY, ERROR) == []


def test_turns_lost_together_leave_the_journal_in_their_order(make_store: MakeStore) -> None:
    """When a worker's turns of a session end at once, the oldest ones leave a full journal."""
    store = make_store(StoreLimits(journal_bytes=3 * len(ERROR) - 1))
    order = request(KEY)
    running = fence_of(order, store.begin_turn(order).turn)
    store.append(running, 1, events(1, 5))
    for _ in range(6):
        enqueue(store)
    store.begin_turn(order)  # a retry: the running turn is the one that was heard of last
    store.mark_lost("worker", ERROR)
    assert ids(store) == [f"6-{LOST_SEQ}", f"7-{LOST_SEQ}"]


def test_observed_workers_learn_it(store: Store) -> None:
    """Heartbeats say that somebody watches once somebody has; what they tell then is listed."""
    assert not store.heartbeat("worker", [], (), WorkerInfo(pid=1)).observed
    assert [view.info.live for view in store.workers()] == [()]
    assert not store.heartbeat("worker", []).observed
    assert [view.worker_id for view in store.observe_workers()] == ["worker"]
    assert store.heartbeat("worker", []).observed
    turn = TurnInfo(tenant="t", session_id="s", turn=1, state="asking", begun_at=1.5, tokens=2)
    info = WorkerInfo(live=(turn,), left_out=3, hour=(MinuteInfo(29, 4, 5),))
    assert store.heartbeat("worker", [], (), info) == Heartbeat({}, [], observed=True)
    assert [view.info for view in store.observe_workers()] == [info]
