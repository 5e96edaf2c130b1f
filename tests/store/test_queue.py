"""claim_turn, request_cancel and signals: how turns wait, and are told."""

from __future__ import annotations

import threading

import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    Signals,
    contents,
    end,
    enqueue,
    events,
    fence_of,
    request,
    run_turn,
    start,
)
from tests.support.waiting import wait_for
from wsgi_app.errors import Fenced
from wsgi_app.events import EventId
from wsgi_app.store.base import Fence, Signal, Store, TurnClaim

WAITING = TurnClaim("waiting", [], None)


def test_queued_turns_start_in_order(store: Store) -> None:
    """Each queued turn starts when all before it have ended, and not before."""
    running = start(store)
    second, third = enqueue(store), enqueue(store)
    assert store.claim_turn(second) == store.claim_turn(third) == WAITING
    end(store, running)
    assert store.claim_turn(third) == WAITING
    assert store.claim_turn(second).state == "started"
    assert store.claim_turn(third) == WAITING
    end(store, second)
    assert store.claim_turn(third).state == "started"


def test_claimed_turn_gets_history_of_its_start(store: Store) -> None:
    """A queued turn's message enters the history when it starts, behind all that ended before."""
    running = start(store, message="one")
    waiting = enqueue(store, message="two")
    end(store, running, 1, [{"role": "assistant", "content": "ONE"}])
    assert contents(store) == ["one", "ONE"]
    claim = store.claim_turn(waiting)
    assert [message["content"] for message in claim.history] == ["one", "ONE"]
    assert contents(store) == ["one", "ONE", "two"]


def test_repeated_claim_is_started(store: Store) -> None:
    """A claim that is repeated is answered as the first time, and adds the message once."""
    end_of_first = start(store, message="one")
    waiting = enqueue(store, message="two")
    end(store, end_of_first)
    first = store.claim_turn(waiting)
    assert store.claim_turn(waiting) == first
    assert contents(store) == ["one", "two"]


def test_claim_of_running_turn_returns_its_flag(store: Store) -> None:
    """A turn that was cancelled after its claim is still told that it started, and the flag."""
    fence = start(store)
    store.request_cancel(KEY, None, "user")
    assert store.claim_turn(fence) == TurnClaim("started", [], "user")


def test_flagged_turn_does_not_start(store: Store) -> None:
    """A waiting turn that is to be cancelled is told why, does not start, and holds the queue."""
    running = start(store)
    flagged, last = enqueue(store, message="never"), enqueue(store)
    store.request_cancel(KEY, flagged.turn, "user")
    end(store, running)
    assert store.claim_turn(flagged) == TurnClaim("waiting", [], "user")
    assert store.claim_turn(last) == WAITING
    end(store, flagged)
    assert store.claim_turn(last).state == "started"
    assert "never" not in contents(store)


def test_turn_of_dead_worker_leaves_the_queue(store: Store) -> None:
    """Queued turns of a dead worker end, and those of other workers move up."""
    start(store, worker_id="dead")
    lost = enqueue(store, worker_id="dead")
    waiting = enqueue(store, worker_id="alive")
    store.mark_lost("dead", b"{}")
    with pytest.raises(Fenced):
        store.claim_turn(lost)
    assert store.claim_turn(waiting).state == "started"


def test_queue_survives_owner(store: Store) -> None:
    """A waiting turn starts on its own worker, which is the session's owner from then on."""
    start(store, worker_id="dead")
    waiting = enqueue(store, worker_id="alive")
    store.mark_lost("dead", b"{}")
    store.claim_turn(waiting)
    view = store.history(KEY)
    assert view is not None
    assert view.owner == "alive"


@pytest.mark.parametrize("what", ["ended", "other run", "no such turn", "no such session"])
def test_claim_needs_a_turn(store: Store, what: str) -> None:
    """A claim with a fence that is not of a waiting or running turn is fenced."""
    fence = run_turn(store)
    wrong = {
        "ended": fence,
        "other run": fence._replace(run_id="other"),
        "no such turn": fence._replace(turn=2),
        "no such session": fence._replace(key=OTHER),
    }
    with pytest.raises(Fenced):
        store.claim_turn(wrong[what])


# -- cancel


def test_cancel_flags_all_turns(store: Store) -> None:
    """Without a number all that run and wait are flagged, and named lowest first."""
    running, waiting = start(store), enqueue(store)
    assert store.request_cancel(KEY, None, "user") == [1, 2]
    assert store.append(running, 1, []).cancel == "user"
    assert store.claim_turn(waiting).cancel == "user"


def test_cancel_flags_named_turn(store: Store) -> None:
    """With a number only that turn is flagged."""
    running, waiting = start(store), enqueue(store)
    assert store.request_cancel(KEY, 2, "user") == [2]
    assert store.append(running, 1, []).cancel is None
    assert store.claim_turn(waiting).cancel == "user"


def test_cancel_finds_nothing(store: Store) -> None:
    """Unknown sessions, ended and future turns are not flagged: the answer is empty."""
    assert store.request_cancel(KEY, None, "user") == []
    run_turn(store)
    assert store.request_cancel(KEY, None, "user") == []
    running = start(store)
    assert store.request_cancel(KEY, 1, "user") == []
    assert store.request_cancel(KEY, 3, "user") == []
    assert store.append(running, 1, []).cancel is None


def test_cancel_keeps_first_reason(store: Store) -> None:
    """A repeated cancel names the turn again, and its first reason stays."""
    running = start(store)
    assert store.request_cancel(KEY, None, "disconnected") == [1]
    assert store.request_cancel(KEY, 1, "user") == [1]
    assert store.append(running, 1, events(1, 1)).cancel == "disconnected"
    assert store.append(running, 1, events(1, 1)).cancel == "disconnected"


def test_cancelled_turn_goes_on_until_its_end(store: Store) -> None:
    """A flag ends nothing: the turn is written to until it is finished."""
    running = start(store)
    store.request_cancel(KEY, None, "user")
    assert store.append(running, 1, events(1, 2)).last_seq == 2
    assert store.finish(running, 3, events(3, 3), []) == 3
    assert start(store).turn == 2


# -- signals


def test_cancel_is_pushed(store: Store) -> None:
    """Every listener hears of each flagged turn, with the reason."""
    listeners = [Signals(store), Signals(store)]
    start(store)
    enqueue(store)
    store.request_cancel(KEY, None, "user")
    expected = [Signal("cancel", KEY, turn, "user") for turn in (1, 2)]
    for signals in listeners:
        wait_for(lambda: signals.has(*expected), f"{expected} in {signals.heard}")  # noqa: B023 - called at once


def test_interrupt_is_pushed(store: Store) -> None:
    """An interrupt is heard by what runs and waits, and not by the new turn."""
    signals = Signals(store)
    start(store)
    enqueue(store)
    enqueue(store, if_busy="interrupt")
    expected = [Signal("cancel", KEY, turn, "interrupted") for turn in (1, 2)]
    wait_for(lambda: signals.has(*expected), f"{expected} in {signals.heard}")
    assert [signal for signal in signals.heard if signal.turn == 3] == []


def test_delete_is_pushed(store: Store) -> None:
    """A deletion is heard by what runs and waits."""
    signals = Signals(store)
    start(store)
    enqueue(store)
    store.delete_session(KEY)
    expected = [Signal("cancel", KEY, turn, "deleted") for turn in (1, 2)]
    wait_for(lambda: signals.has(*expected), f"{expected} in {signals.heard}")


def test_end_is_pushed_once(store: Store) -> None:
    """The end of a turn is heard by who follows, once even if the finish is repeated."""
    signals, own = Signals(store, "follower"), Signals(store, "owner")
    fence = start(store, worker_id="owner")
    store.follow("follower", KEY)
    end(store, fence)
    end(store, fence)
    end(store, start(store, worker_id="owner"))
    # Signals of one session come in order, whichever node of a cluster has it: behind the last one
    # nothing more will come. Those of two sessions come from two nodes, in any order.
    wait_for(lambda: signals.has(Signal("ended", KEY, 2)), "the last signal")
    heard = [signal for signal in signals.heard if signal.kind == "ended"]
    assert heard == [Signal("ended", KEY, 1), Signal("ended", KEY, 2)]
    assert {signal.kind for signal in own.heard} <= {"follow"}, "who writes an end knows it"


def test_loss_is_pushed(store: Store) -> None:
    """The end of a dead worker's turn is heard, so that the next one may start."""
    signals = Signals(store)
    start(store, worker_id="dead")
    store.mark_lost("dead", b"{}")
    wait_for(lambda: signals.has(Signal("ended", KEY, 1)), "the end")


def test_answer_is_pushed(store: Store) -> None:
    """An answer is heard with the id of its question."""
    signals = Signals(store)
    store.open_input(start(store), "q")
    store.post_input(KEY, "q", b"1")
    wait_for(lambda: signals.has(Signal("input", KEY, 1, "q")), "the answer")


def test_listener_may_call_the_store(store: Store) -> None:
    """A listener may call the store: it starts the next turn, which it then finds written."""
    running = start(store, worker_id="running")
    waiting = enqueue(store, worker_id="waiting")
    claimed = threading.Event()

    def claim(signal: Signal) -> None:
        if signal.turn == running.turn and store.claim_turn(waiting).state == "started":
            store.append(waiting, 1, events(1, 1))
            claimed.set()

    store.listen(claim)
    end(store, running)
    wait_for(claimed.is_set, "the listener's claim")
    found = store.read(KEY, EventId(2, 0), 10)
    assert found is not None
    assert found.events == [(EventId(2, 1), events(1, 1)[0])]


def test_foreign_run_id_is_no_claim(store: Store) -> None:
    """The run id that was queued starts its own turn alone, also with the right number."""
    running = start(store)
    order = request(if_busy="enqueue")
    store.begin_turn(order)
    end(store, running)
    with pytest.raises(Fenced):
        store.claim_turn(Fence(KEY, 2, running.run_id))
    assert store.claim_turn(fence_of(order, 2)).state == "started"
