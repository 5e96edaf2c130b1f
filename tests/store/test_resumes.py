"""Turns that another worker goes on with; one process's memory has no other worker."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from msgspec.structs import replace

from tests.store.conftest import redis
from tests.store.steps import (
    KEY,
    MakeStore,
    Signals,
    at_once,
    end,
    events,
    ids,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.errors import Fenced
from wsgi_app.events import EventId
from wsgi_app.store.base import Fence, JournalWrite, StepWrite, Store, StoreLimits
from wsgi_app.store.memory import MemoryStore
from wsgi_app.store.resumes import ATTEMPT_SEQS, LostTurn, Resumed, Resumes
from wsgi_app.store.values import next_run_id

RESUME = b'{"message":"hello"}'
LOST, AGAIN = b'{"type":"error"}', b'{"type":"error","again":true}'
WITHDRAWN = b'{"type":"withdrawn","after":"1-1"}'


@pytest.fixture
def make_shared() -> Iterator[MakeStore]:
    """Stores that workers share, with other limits."""
    with redis() as make_store:
        yield make_store


@pytest.fixture
def shared(make_shared: MakeStore) -> Iterator[Store]:
    """A store that lets two workers have a turn."""
    store = make_shared(StoreLimits(max_attempts=2, lease_seconds=0.5))
    yield store
    store.close()


def resumes_of(store: Store) -> Resumes:
    """How its turns are gone on with."""
    assert store.resumes is not None
    return store.resumes


def begin(store: Store, run_id: str = "run-1", resume: bytes = RESUME) -> Fence:
    """Begin a turn that may be resumed."""
    claim = replace(request(run_id=run_id, worker_id="dead"), resume=resume)
    begun = store.begin_turn(claim)
    return Fence(KEY, begun.turn, run_id)


def look(store: Store, fence: Fence) -> LostTurn:
    """Look at a turn that may be resumed."""
    found = resumes_of(store).look(fence.key, fence.run_id)
    assert found is not None
    return found


def take(store: Store, found: LostTurn, worker_id: str = "other") -> Resumed | None:
    """Go on with a turn."""
    run_id = next_run_id(found.fence.run_id, found.attempt + 1, worker_id)
    return resumes_of(store).take(found, worker_id, run_id, [WITHDRAWN])


def record(store: Store, fence: Fence, first_seq: int, step: StepWrite, count: int = 1) -> None:
    """Write events and a step's record in one operation."""
    new = events(first_seq, first_seq + count - 1)
    (done,) = store.write([JournalWrite(fence, first_seq, new, None, step)])
    if isinstance(done, Exception):
        raise done


def test_memory_has_no_other_worker() -> None:
    """A store of one process has nobody to go on with a turn."""
    assert MemoryStore(StoreLimits()).resumes is None


def test_of_many_that_want_a_turn_one_gets_it(shared: Store) -> None:
    """Workers that want the same turn at the same time get it once."""
    fence = begin(shared)
    shared.append(fence, 1, events(1, 2))
    found = look(shared, fence)
    takers = [partial(take, shared, found, f"worker-{n}") for n in range(8)]
    taken = [one for one in at_once(takers) if isinstance(one, Resumed)]
    assert len(taken) == 1
    state = shared.state_of(KEY)
    assert state is not None
    assert state.owner == taken[0].fence.run_id.rpartition(".")[2]
    assert take(shared, found, "late") is None


def test_the_worker_before_is_fenced(shared: Store) -> None:
    """What was the turn's run writes no event, no record and no end any more."""
    fence = begin(shared)
    taken = take(shared, look(shared, fence))
    assert taken is not None
    for write in (
        JournalWrite(fence, 1, events(1, 1)),
        JournalWrite(fence, 1, events(1, 1), []),
        JournalWrite(fence, 1, events(1, 1), None, StepWrite(1, b"{}")),
    ):
        assert isinstance(shared.write([write])[0], Fenced)
    assert shared.heartbeat("dead", [fence]).fenced == [fence]
    assert shared.append(taken.fence, 2, events(2, 2)).last_seq == 2


def test_a_deleted_turn_stays_deleted_for_all_its_workers(shared: Store) -> None:
    """No attempt of a turn makes its session again behind its deletion."""
    fence = begin(shared)
    taken = take(shared, look(shared, fence))
    assert taken is not None
    assert shared.delete_session(KEY)
    for gone in (fence, taken.fence):
        with pytest.raises(Fenced):
            shared.append(gone, 1, events(1, 1))


def test_readers_go_on_behind_what_they_saw(shared: Store) -> None:
    """Ids of an attempt are above all that a reader can have seen, and a mark stays."""
    fence = begin(shared)
    shared.append(fence, 1, events(1, 3))
    taken = take(shared, look(shared, fence))
    assert taken is not None
    assert taken.fence.mark == fence.mark
    shared.append(taken.fence, 5, events(5, 6))
    later = [EventId(1, ATTEMPT_SEQS + n) for n in (1, 2, 3)]
    for after, expected in (
        (EventId(1, 0), [EventId(1, 1), EventId(1, 2), EventId(1, 3), *later]),
        (EventId(1, 2), [EventId(1, 3), *later]),
        (EventId(1, 70), later),  # a reader ahead of the journal
        (later[0], later[1:]),
        (later[2], []),
        (EventId(1, ATTEMPT_SEQS + 9), []),
    ):
        found = shared.read(KEY, after, 100, fence.mark)
        assert found is not None
        assert not found.has_gap
        assert [place for place, _ in found.events] == expected, after
        few = shared.read(KEY, after, 2)
        assert few is not None
        assert [place for place, _ in few.events] == expected[:2], after


def test_readers_of_a_dropped_turn_are_told(make_shared: MakeStore) -> None:
    """Who stands within a later attempt of a turn that is no longer kept has missed its rest."""
    store = make_shared(StoreLimits(max_attempts=2, journal_bytes=150))
    fence = begin(store)
    store.append(fence, 1, events(1, 3))
    taken = take(store, look(store, fence))
    assert taken is not None
    store.finish(taken.fence, 5, events(5, 5), [])
    run_turn(store, count=4)
    for seq, has_gap in ((ATTEMPT_SEQS + 1, True), (ATTEMPT_SEQS + 2, False)):
        found = store.read(KEY, EventId(1, seq), 100)
        assert found is not None
        assert [place.turn for place, _ in found.events] == [2] * 4
        assert found.has_gap == has_gap, seq
    store.close()


def test_an_attempt_may_be_the_last(shared: Store) -> None:
    """After as many attempts as there may be, nobody goes on, and its end says so."""
    fence = begin(shared)
    taken = take(shared, look(shared, fence))
    assert taken is not None
    assert resumes_of(shared).look(KEY, taken.fence.run_id) is None
    assert shared.mark_lost("other", LOST, again=AGAIN) == [taken.fence]
    found = shared.read(KEY, EventId(1, 0), 100)
    assert found is not None
    assert found.events[-1][1] == AGAIN


def test_a_lost_turn_waits_a_lease_for_a_worker(shared: Store) -> None:
    """What may be resumed is ended as lost only when nobody has gone on with it for a lease."""
    fence = begin(shared)
    assert shared.mark_lost("dead", LOST) == []
    assert resumes_of(shared).of_worker("dead") == [(KEY, fence.run_id)]
    wait_for(lambda: shared.mark_lost("dead", LOST) == [fence], "it is ended")
    assert resumes_of(shared).of_worker("dead") == []


@pytest.mark.parametrize("why", ["plain", "cancelled", "ended", "one attempt"])
def test_what_may_not_be_resumed_ends_at_once(make_shared: MakeStore, why: str) -> None:
    """Without its request, with a cancel flag, or where none may, a turn is nobody else's."""
    store = make_shared(StoreLimits(max_attempts=1 if why == "one attempt" else 2))
    fence = begin(store, resume=b"" if why == "plain" else RESUME)
    if why == "cancelled":
        store.request_cancel(KEY, None, "user")
    if why == "ended":
        store.finish(fence, 1, events(1, 1), [])
    assert resumes_of(store).look(KEY, fence.run_id) is None
    assert store.mark_lost("dead", LOST) == ([] if why == "ended" else [fence])
    store.close()


def test_a_step_is_recorded_with_its_events(shared: Store) -> None:
    """A record comes in one operation with the events before it, once, and not behind a hole."""
    fence = begin(shared, resume=b"")
    assert resumes_of(shared).look(KEY, fence.run_id) is None
    record(shared, fence, 2, StepWrite(1, b'"early"', RESUME))  # behind a hole: nothing
    assert resumes_of(shared).look(KEY, fence.run_id) is None
    for _ in range(2):  # the second is a retry
        record(shared, fence, 1, StepWrite(1, b'"one"', RESUME))
    record(shared, fence, 2, StepWrite(2, b'"two"'))
    found = look(shared, fence)
    assert (found.records, found.stored, found.resume) == ([b'"one"', b'"two"'], 2, RESUME)


@pytest.mark.parametrize("number", [3, 1_000_000])
def test_a_hole_in_the_records_ends_them(shared: Store, number: int) -> None:
    """Without all of its steps a turn is not gone on with, whatever is recorded later."""
    fence = begin(shared)
    record(shared, fence, 1, StepWrite(1, b'"one"'))
    record(shared, fence, 2, StepWrite(number, b'"later"'))
    record(shared, fence, 3, StepWrite(2, b'"two"'))
    assert resumes_of(shared).look(KEY, fence.run_id) is None


def test_records_are_bounded(make_shared: MakeStore) -> None:
    """A turn whose records are too large is not gone on with."""
    store = make_shared(StoreLimits(max_attempts=2, record_bytes=1000))
    fence = begin(store)
    record(store, fence, 1, StepWrite(1, b"1" * 900))
    assert look(store, fence).records
    record(store, fence, 2, StepWrite(2, b"2" * 200))
    assert resumes_of(store).look(KEY, fence.run_id) is None
    store.close()


def test_what_changed_since_the_look_is_not_taken(shared: Store) -> None:
    """A worker that wakes up and writes keeps its turn: it is taken as it was looked at, or not."""
    fence = begin(shared)
    found = look(shared, fence)
    shared.append(fence, 1, events(1, 1))
    assert take(shared, found) is None
    found = look(shared, fence)
    record(shared, fence, 2, StepWrite(1, b'"one"'), count=0)
    assert take(shared, found) is None
    shared.open_input(fence, "q-1")
    found = look(shared, fence)
    assert found.question == "q-1"
    shared.post_input(KEY, "q-1", b"true")
    assert look(shared, fence).question == "q-1", "nobody has the answer"
    assert shared.take_input(fence, "q-1") == b"true"
    assert take(shared, found) is None
    assert look(shared, fence).question == "", "who asked has its answer"


def test_a_turn_that_waits_may_have_another_worker(shared: Store) -> None:
    """A queued turn whose worker is gone keeps its place, has no events, and runs elsewhere."""
    first = start(shared)
    claim = replace(request(run_id="waiting", worker_id="dead", if_busy="enqueue"), resume=RESUME)
    begun = shared.begin_turn(claim)
    waiting = Fence(KEY, begun.turn, "waiting")
    assert shared.mark_lost("dead", LOST) == [], "it is spared"
    found = look(shared, waiting)
    assert found.elapsed_seconds is None
    run_id = next_run_id("waiting", found.attempt, "other")
    taken = resumes_of(shared).take(found, "other", run_id, [])
    assert taken is not None
    assert resumes_of(shared).take(found, "late", run_id, []) is None
    with pytest.raises(Fenced):
        shared.claim_turn(waiting)
    assert shared.claim_turn(taken.fence).state == "waiting"
    end(shared, first)
    claimed = shared.claim_turn(taken.fence)
    assert (claimed.state, len(claimed.history)) == ("started", 1)
    end(shared, taken.fence)
    assert ids(shared, EventId(2, 0)) == ["2-1"]


def test_a_turn_that_has_begun_since_the_look_is_not_taken_as_waiting(shared: Store) -> None:
    """Between look and take its worker may have got the turn's place."""
    first = start(shared)
    claim = replace(request(run_id="waiting", worker_id="dead", if_busy="enqueue"), resume=RESUME)
    waiting = Fence(KEY, shared.begin_turn(claim).turn, "waiting")
    found = look(shared, waiting)
    end(shared, first)
    assert shared.claim_turn(waiting).state == "started"
    assert resumes_of(shared).take(found, "other", "waiting~1.x", []) is None


def test_the_living_hear_of_a_lost_worker(shared: Store) -> None:
    """A worker whose end is known is lost at once, and all living ones are told."""
    begin(shared)
    signals = Signals(shared, "other")
    for worker_id in ("dead", "other"):
        shared.heartbeat(worker_id, [])
    resumes_of(shared).declare_lost("dead")
    wait_for(lambda: any(s.kind == "lost" and s.value == "dead" for s in signals.heard), "it")
    assert resumes_of(shared).gone_workers() == ["dead"]
    assert shared.lost_workers() == ["dead"]
    shared.leave("dead")
    assert resumes_of(shared).gone_workers() == []
