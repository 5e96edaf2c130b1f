"""Messages to running turns: each is taken once, or known not to be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    Signals,
    contents,
    end,
    enqueue,
    refused,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.errors import Fenced
from wsgi_app.events import EventId
from wsgi_app.store.base import MAX_STEERS, Message, PostedSteer, Signal, Store


def test_messages_reach_the_running_turn_in_order(store: Store) -> None:
    """What is posted is taken byte by byte, in order, and again where a reply was lost."""
    fence = start(store)
    store.append(fence, 1, [b"{}", b"{}"])
    assert store.post_steer(KEY, "a", "è".encode()) == PostedSteer(1, EventId(1, 2))
    store.post_steer(KEY, "b", b"t w")
    taken = [("a", "è".encode()), ("b", b"t w")]
    assert [store.take_steers(fence) for _ in range(2)] == [taken] * 2


def test_a_repeated_post_is_one_message(store: Store) -> None:
    """The same id posts once, and keeps its first text and its state."""
    fence = start(store)
    store.post_steer(KEY, "a", b"1")
    store.post_steer(KEY, "a", b"2")
    assert store.take_steers(fence) == [("a", b"1")]
    store.post_steer(KEY, "a", b"3")
    assert not store.withdraw_steer(KEY, 1, "a")


def test_only_a_running_turn_is_steered(store: Store) -> None:
    """No session, an ended turn, one to be cancelled and another tenant's: not_steerable."""
    run_turn(store)
    for key in (KEY, OTHER, KEY._replace(tenant="rival")):
        with refused("not_steerable"):
            store.post_steer(key, "a", b"1")
    start(store)
    enqueue(store)
    assert store.post_steer(KEY, "a", b"1").turn == 2
    store.request_cancel(KEY, 2, "user")
    with refused("not_steerable"):
        store.post_steer(KEY, "b", b"1")


def test_messages_of_a_turn_are_bounded(store: Store) -> None:
    """Behind the last one there is room for none, taken or not, but for a repetition."""
    fence = start(store)
    for number in range(MAX_STEERS):
        store.post_steer(KEY, f"s{number}", b"1")
    store.take_steers(fence)
    with refused("queue_full"):
        store.post_steer(KEY, "more", b"1")
    store.post_steer(KEY, "s0", b"1")
    store.refuse_steer(fence, "s0")
    store.post_steer(KEY, "more", b"1")


def test_what_is_withdrawn_is_not_taken(store: Store) -> None:
    """A sender takes back what was not taken, and learns of what was."""
    fence = start(store)
    store.post_steer(KEY, "a", b"1")
    store.post_steer(KEY, "b", b"2")
    assert [store.withdraw_steer(KEY, 1, "a") for _ in range(2)] == [True, True]
    assert store.take_steers(fence) == [("b", b"2")]
    assert not store.withdraw_steer(KEY, 1, "b")
    assert store.has_steer(KEY, 1, "b")


def test_a_refused_message_is_gone(store: Store) -> None:
    """The turn's refusal takes the message away; the others stay."""
    fence = start(store)
    store.post_steer(KEY, "a", b"1")
    store.post_steer(KEY, "b", b"2")
    store.take_steers(fence)
    store.refuse_steer(fence, "a")
    store.refuse_steer(fence, "a")
    assert [store.has_steer(KEY, 1, name) for name in ("a", "b")] == [False, True]


@pytest.mark.parametrize("how", ["finish", "mark_lost", "delete"])
def test_a_turns_end_takes_its_messages_away(store: Store, how: str) -> None:
    """When a turn has ended, in whatever way, none of its messages is there any more."""
    fence = start(store)
    store.post_steer(KEY, "a", b"1")
    ways: dict[str, Callable[[], object]] = {
        "finish": lambda: end(store, fence),
        "mark_lost": lambda: store.mark_lost("worker", b"{}"),
        "delete": lambda: store.delete_session(KEY),
    }
    ways[how]()
    assert not store.has_steer(KEY, 1, "a")
    assert store.withdraw_steer(KEY, 1, "a")
    with pytest.raises(Fenced):
        store.take_steers(fence)
    fence = start(store)
    assert store.take_steers(fence) == []


def test_only_the_turns_own_run_takes(store: Store) -> None:
    """Ended, waiting and foreign runs take nothing."""
    ended, running, waiting = run_turn(store), start(store), enqueue(store)
    store.post_steer(KEY, "a", b"1")
    for fence in (ended, waiting, running._replace(run_id="other")):
        with pytest.raises(Fenced):
            store.take_steers(fence)
    assert store.withdraw_steer(KEY, 2, "a")


def test_a_noted_key_attaches(store: Store) -> None:
    """A key that is noted for a turn attaches to it; one that is known stays as it was."""
    end(store, start(store))
    store.note_key(KEY, 1, "k", "digest")
    store.note_key(KEY, 7, "none", "digest")
    found = store.begin_turn(request(idempotency_key="k"))
    assert (found.state, found.turn) == ("attached", 1)
    with refused("idempotency_key_reused"):
        store.begin_turn(request(idempotency_key="k", digest="another"))
    assert store.begin_turn(request(idempotency_key="none")).state == "started"
    store.note_key(KEY, 1, "none", "another")
    assert store.begin_turn(request(idempotency_key="none")).turn == 2


def test_the_worker_and_the_sender_are_told(store: Store) -> None:
    """The turn's worker hears of a message until it has taken it; who follows, of a refusal."""
    fence, signals = start(store), Signals(store)
    store.post_steer(KEY, "a", b"1", follower="sender")
    wait_for(lambda: signals.has(Signal("steer", KEY, 1)), "the signal")
    signals.heard.clear()
    assert store.has_steer(KEY, 1, "a")
    wait_for(lambda: signals.has(Signal("steer", KEY, 1)), "the signal")
    store.take_steers(fence)
    signals.heard.clear()
    assert store.has_steer(KEY, 1, "a")
    store.refuse_steer(fence, "a")
    wait_for(lambda: signals.has(Signal("events", KEY, 1)), "the refusal")
    assert Signal("steer", KEY, 1) not in signals.heard


def test_a_steered_message_begins_no_exchange(store: Store) -> None:
    """To answer again takes the whole exchange out, with what was said to it while it ran."""
    said: list[Message] = [
        {"role": "assistant", "content": "half"},
        {"role": "user", "content": "more", "steered": True},
        {"role": "assistant", "content": "rest"},
    ]
    end(store, start(store, message="first"), 1, said)
    assert contents(store) == ["first", "half", "more", "rest"]
    begun = store.begin_turn(request(message="again", regenerates=True))
    assert (begun.history, contents(store)) == ([], ["again"])
