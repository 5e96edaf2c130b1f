"""Turns that one worker begins and another is to run; one process's memory has no such."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.store.conftest import redis
from tests.store.steps import KEY, Signals, at_once, events, fence_of, request, start
from tests.support.waiting import wait_for
from wsgi_app.errors import Fenced
from wsgi_app.store.base import Fence, Signal, Store, StoreLimits
from wsgi_app.store.memory import MemoryStore
from wsgi_app.store.offers import Offers

ORDER = b'{"message":"hello"}'
LOST = b'{"type":"error"}'


@pytest.fixture
def shared() -> Iterator[Store]:
    """A store that workers share."""
    with redis() as make_store:
        store = make_store(StoreLimits())
        yield store
        store.close()


def offers_of(store: Store) -> Offers:
    """How its turns are handed over."""
    assert store.offers is not None
    return store.offers


def take(store: Store, fence: Fence, worker_id: str) -> bytes | None:
    """Take a turn that was begun in the name of "owner"; what was offered."""
    taken = offers_of(store).take(fence, worker_id, offered=worker_id == "owner")
    assert taken is None or taken.history == []
    return taken and taken.request


def test_memory_has_no_other_worker() -> None:
    """A store of one process hands no turn over."""
    assert MemoryStore(StoreLimits()).offers is None


def test_an_offer_reaches_its_worker_and_is_taken_once(shared: Store) -> None:
    """Of many that want to take a turn one gets it, with what was offered."""
    signals = Signals(shared, "owner")
    fence = start(shared, worker_id="owner")
    offers_of(shared).offer(fence, "owner", ORDER)
    wait_for(lambda: signals.has(Signal("offer", KEY, 1, fence.run_id)), "the offer is heard")
    takers = [partial(take, shared, fence, f"worker-{n}") for n in range(8)]
    assert [taken for taken in at_once(takers) if taken is not None] == [ORDER]
    assert take(shared, fence, "late") is None


def test_a_taken_turn_is_its_takers(shared: Store) -> None:
    """Cancels go to who has taken it, and it lives and dies with that worker."""
    fence = start(shared, worker_id="owner")
    offers_of(shared).offer(fence, "owner", ORDER)
    taker = Signals(shared, "taker")
    assert take(shared, fence, "taker") == ORDER
    view = shared.history(KEY)
    assert view is not None
    assert view.owner == "taker"
    shared.request_cancel(KEY, None, "user")
    wait_for(lambda: taker.has(Signal("cancel", KEY, 1, "user")), "the cancel is heard")
    assert shared.mark_lost("owner", LOST) == []
    assert shared.append(fence, 1, events(1, 1)).last_seq == 1
    assert shared.mark_lost("taker", LOST) == [fence]


def test_the_owner_keeps_what_it_takes(shared: Store) -> None:
    """A turn that its owner takes lives and dies with that worker too."""
    fence = start(shared, worker_id="owner")
    offers_of(shared).offer(fence, "owner", ORDER)
    assert take(shared, fence, "owner") == ORDER
    assert take(shared, fence, "other") is None
    assert shared.mark_lost("other", LOST) == []
    assert shared.mark_lost("owner", LOST) == [fence]


def test_a_turn_that_has_ended_is_nobodys(shared: Store) -> None:
    """What has ended can be neither offered nor taken, and leaves nothing to take."""
    fence = start(shared, worker_id="owner")
    offers_of(shared).offer(fence, "owner", ORDER)
    shared.finish(fence, 1, events(1, 1), [])
    with pytest.raises(Fenced):
        take(shared, fence, "owner")
    with pytest.raises(Fenced):
        offers_of(shared).offer(fence, "owner", ORDER)


def test_a_lost_offer_is_taken_back(shared: Store) -> None:
    """Who began a turn takes it without an offer, once; one that comes later does nothing."""
    signals = Signals(shared, "owner")
    fence = start(shared, worker_id="owner")
    assert take(shared, fence, "owner") is None
    assert take(shared, fence, "beginner") is not None
    offers_of(shared).offer(fence, "owner", ORDER)
    assert take(shared, fence, "owner") is None
    assert take(shared, fence, "beginner") is None
    assert not signals.has(Signal("offer", KEY, 1, fence.run_id))
    assert shared.mark_lost("beginner", LOST) == [fence]


def test_a_beginning_returns_the_owner_before(shared: Store) -> None:
    """Whose the session was until this turn: nobody's at first, then the one that ran the last."""
    order = request(worker_id="first")
    first = shared.begin_turn(order)
    shared.finish(fence_of(order, first.turn), 1, events(1, 1), [])
    second = shared.begin_turn(request(worker_id="second"))
    assert (first.owner_before, second.owner_before) == ("", "first")
