"""heartbeat and mark_lost: what lives and dies with a worker."""

from __future__ import annotations

import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    end,
    enqueue,
    events,
    fence_of,
    ids,
    request,
    run_turn,
    start,
)
from wsgi_app.errors import Fenced
from wsgi_app.events import LOST_SEQ
from wsgi_app.store.base import SessionKey, Store, TurnBegun

ERROR = b'{"type":"error","code":"worker_lost"}'


def test_heartbeat_brings_flags(store: Store) -> None:
    """A heartbeat tells which of the turns it names are to be cancelled, running and queued."""
    running, waiting, other = start(store), enqueue(store), start(store, OTHER)
    fences = [running, waiting, other]
    assert store.heartbeat("worker", fences) == {}
    store.request_cancel(KEY, None, "user")
    assert store.heartbeat("worker", fences) == {running: "user", waiting: "user"}
    assert store.heartbeat("worker", [waiting]) == {waiting: "user"}
    assert store.heartbeat("worker", []) == {}


def test_heartbeat_ignores_what_has_ended(store: Store) -> None:
    """A heartbeat with fences of ended, unknown or foreign turns answers nothing about them."""
    ended = start(store)
    store.request_cancel(KEY, None, "user")
    end(store, ended)
    running = start(store)
    store.request_cancel(KEY, None, "user")
    wrong = [ended, running._replace(run_id="other"), running._replace(turn=9)]
    assert store.heartbeat("worker", [*wrong, running._replace(key=OTHER)]) == {}
    assert store.heartbeat("worker", [*wrong, running]) == {running: "user"}


def test_heartbeat_makes_no_session(store: Store) -> None:
    """A heartbeat for a session that is not there does not make it."""
    store.heartbeat("worker", [fence_of(request(), 1)])
    assert store.describe_session(KEY) is None


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
