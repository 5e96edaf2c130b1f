"""Many threads at once: each operation is atomic against all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest

from tests.store.steps import (
    ALL,
    KEY,
    START,
    IfBusy,
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
from wsgi_app.errors import Fenced, RequestError
from wsgi_app.store.base import (
    BeginTurn,
    Fence,
    SessionKey,
    Store,
    StoreLimits,
    TurnBegun,
    TurnClaim,
)

THREADS = 24
ROUNDS = 5


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    """A store whose limits are out of the way."""
    return make_store(StoreLimits(max_queued_turns=1000, max_turns_per_tenant=1000))


def begin_all(store: Store, orders: Sequence[BeginTurn]) -> tuple[list[TurnBegun], Counter[str]]:
    """Begin all turns at once; returns what was begun, and how often each code refused."""
    outcomes = at_once([partial(store.begin_turn, order) for order in orders])
    begun = [outcome for outcome in outcomes if isinstance(outcome, TurnBegun)]
    codes = Counter(outcome.code for outcome in outcomes if isinstance(outcome, RequestError))
    assert len(begun) + codes.total() == len(orders), outcomes
    return begun, codes


def requests(if_busy: IfBusy) -> list[BeginTurn]:
    """One request for each thread."""
    return [request(if_busy=if_busy) for _ in range(THREADS)]


def test_one_of_many_starts(store: Store) -> None:
    """Of many requests for an idle session exactly one starts; all others are refused."""
    for number in range(1, ROUNDS + 1):
        orders = requests("reject")
        begun, codes = begin_all(store, orders)
        assert [(one.state, one.turn) for one in begun] == [("started", number)]
        assert codes == {"session_busy": THREADS - 1}
        store.mark_lost("worker", b"{}")
    assert contents(store) == ["hello"] * ROUNDS


def test_queue_takes_exactly_its_bound(make_store: MakeStore) -> None:
    """Of many requests that would wait, exactly as many wait as may, each with its own number."""
    store = make_store(StoreLimits(max_queued_turns=7))
    begun, codes = begin_all(store, requests("enqueue"))
    assert sorted(one.turn for one in begun) == list(range(1, 9))
    assert [one.turn for one in begun if one.state == "started"] == [1]
    assert codes == {"queue_full": THREADS - 8}


def test_tenant_gets_exactly_its_turns(make_store: MakeStore) -> None:
    """Of many sessions of a tenant, exactly as many start a turn as may."""
    store = make_store(StoreLimits(max_turns_per_tenant=5))
    orders = [request(SessionKey("acme", f"s-{number}")) for number in range(THREADS)]
    begun, codes = begin_all(store, orders)
    assert (len(begun), codes) == (5, {"too_many_turns": THREADS - 5})


def test_tenant_gets_exactly_its_sessions(make_store: MakeStore) -> None:
    """Of many new sessions of a tenant, exactly as many are made as may."""
    store = make_store(StoreLimits(max_sessions_per_tenant=5, max_turns_per_tenant=1000))
    orders = [request(SessionKey("acme", f"s-{number}")) for number in range(THREADS)]
    begun, codes = begin_all(store, orders)
    assert (len(begun), codes) == (5, {"too_many_sessions": THREADS - 5})
    assert len(store.list_sessions("acme", 100, None).sessions) == 5


def test_key_begins_one_turn(store: Store) -> None:
    """Of many requests with one idempotency key exactly one begins a turn; all others attach."""
    for number in range(1, ROUNDS + 1):
        orders = [request(idempotency_key=f"k-{number}") for _ in range(THREADS)]
        begun, codes = begin_all(store, orders)
        assert codes == {}
        assert {one.turn for one in begun} == {number}
        assert Counter(one.state for one in begun) == {"started": 1, "attached": THREADS - 1}
        store.mark_lost("worker", b"{}")


def test_repeated_request_begins_one_turn(store: Store) -> None:
    """A request that comes many times at once begins one turn, and is answered alike."""
    run_turn(store, reply="hi")
    order = request(if_busy="enqueue")
    begun, codes = begin_all(store, [order] * THREADS)
    assert codes == {}
    assert {(one.state, one.turn, len(one.history)) for one in begun} == {("started", 2, 2)}


def test_interrupts_leave_one_unflagged(store: Store) -> None:
    """Of many interrupts at once all but the newest turn are to be cancelled."""
    orders = requests("interrupt")
    outcomes = at_once([partial(store.begin_turn, order) for order in orders])
    fences = [
        fence_of(order, begun.turn)
        for order, begun in zip(orders, outcomes, strict=True)
        if isinstance(begun, TurnBegun)
    ]
    assert sorted(fence.turn for fence in fences) == list(range(1, THREADS + 1))
    flags = store.heartbeat("worker", fences).cancels
    assert set(flags.values()) == {"interrupted"}
    assert [fence.turn for fence in fences if fence not in flags] == [THREADS]


def test_appends_have_neither_hole_nor_double(store: Store) -> None:
    """Overlapping and repeated appends of one turn store every event once, in order."""
    fence = start(store)
    total = 200

    def write(step: int) -> None:
        last_seq = 0
        while last_seq < total:
            first = max(1, last_seq + 1 - step)
            batch = events(first, min(total, last_seq + step))
            last_seq = store.append(fence, first, batch).last_seq

    assert at_once([partial(write, step) for step in range(1, THREADS + 1)]) == []
    found = store.read(KEY, START, ALL)
    assert found is not None
    assert [json for _, json in found.events] == events(1, total)
    assert ids(store) == [f"1-{seq}" for seq in range(1, total + 1)]


def test_question_takes_exactly_one_answer(store: Store) -> None:
    """Of many answers to a question exactly one is taken; all others are refused."""
    fence = start(store)
    for number in range(ROUNDS):
        name = f"q-{number}"
        store.open_input(fence, name)
        values = [b"%d" % thread for thread in range(THREADS)]
        outcomes = at_once([partial(store.post_input, KEY, name, value) for value in values])
        codes = [outcome.code for outcome in outcomes if isinstance(outcome, RequestError)]
        assert codes == ["no_pending_input"] * (THREADS - 1)
        assert store.take_input(fence, name) in values


def test_queued_turn_starts_once(store: Store) -> None:
    """Many claims of all waiting turns start exactly the first of them."""
    for _ in range(ROUNDS):
        running = start(store)
        waiting = [enqueue(store) for _ in range(3)]
        end(store, running)
        claims = at_once([partial(store.claim_turn, fence) for fence in waiting * 8])
        states = Counter(
            (waiting[place % 3].turn - running.turn, claim.state)
            for place, claim in enumerate(claims)
            if isinstance(claim, TurnClaim)
        )
        assert states == {(1, "started"): 8, (2, "waiting"): 8, (3, "waiting"): 8}
        store.mark_lost("worker", b"{}")


def test_turn_ends_once(store: Store) -> None:
    """A finish and the loss of the worker at once give the turn exactly one terminal event."""
    for _ in range(ROUNDS):
        fence = start(store)
        finishes = [partial(store.finish, fence, 1, events(1, 1), []) for _ in range(4)]
        losses = [partial(store.mark_lost, "worker", b"{}") for _ in range(4)]
        outcomes = at_once([*finishes, *losses])
        finished = [outcome for outcome in outcomes if outcome == 1]
        fenced = [outcome for outcome in outcomes if isinstance(outcome, Fenced)]
        lost = [outcome for outcome in outcomes if outcome == [fence]]
        assert (len(finished), len(fenced), len(lost)) in {(4, 0, 0), (0, 4, 1)}
        assert len(ids(store)) == fence.turn


def test_session_is_deleted_once(store: Store) -> None:
    """Of many deletions exactly one finds the session, and no append brings it back."""
    for _ in range(ROUNDS):
        fence = start(store)
        outcomes = at_once(
            [
                *[partial(store.delete_session, KEY) for _ in range(8)],
                *[partial(_append, store, fence) for _ in range(8)],
            ]
        )
        assert Counter(outcomes[:8]) == {True: 1, False: 7}
        assert store.history(KEY) is None


def _append(store: Store, fence: Fence) -> bool:
    """Append again and again until the turn is fenced; False means that it never was."""
    for _ in range(10_000):
        try:
            store.append(fence, 1, events(1, 1))
        except Fenced:
            return True
    return False
