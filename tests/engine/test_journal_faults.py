"""The one thread that stores all turns of a worker: what must neither stop it nor make it late."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from tests.support.stores import AbsentStore, RefusingStore
from tests.support.turns import END_SECONDS, TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.events import Done, Error, EventId, encode_event

STORED_SECONDS = 1.0
LOST = encode_event(Error("worker_lost", "The worker was lost."))


class Talk:
    """An agent that sends tokens until it is told to end."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def __call__(self, _: Turn) -> Iterator[str]:
        """Send tokens."""
        while not self.over.wait(0.02):
            yield "word "


def stored(bench: TurnBench, run: TurnRun) -> int:
    """Count a turn's events in the store."""
    found = bench.store.read(run.fence.key, EventId(run.fence.turn, 0), 1000)
    return 0 if found is None else len(found.events)


def check_goes_on(bench: TurnBench) -> None:
    """Fail unless another turn is stored while it runs, and ends."""
    talk = Talk()
    run = bench.start(talk)
    wait_for(lambda: stored(bench, run) > 0, "events of a running turn stored", STORED_SECONDS)
    assert run.terminal is None
    talk.over.set()
    assert run.wait_ended(END_SECONDS)
    assert isinstance(run.terminal, Done)
    assert stored(bench, run) == len(events_of(run))


def test_every_turn_is_stored_while_it_runs() -> None:
    """A worker's second turn, which comes when the journal sleeps, is stored as the first was."""
    bench = TurnBench()
    for _ in range(3):
        check_goes_on(bench)
        wait_for(lambda: not bench.runner.fences(), "the worker is idle")


def test_a_turn_that_is_lost_while_the_store_is_away_stops_no_other() -> None:
    """A fenced turn whose fate cannot be read at once stays alone with its trouble."""
    bench = TurnBench(AbsentStore)
    assert isinstance(bench.store, AbsentStore)
    talk = Talk()
    run = bench.start(talk)
    wait_for(lambda: stored(bench, run) > 0, "events of a running turn stored", STORED_SECONDS)
    bench.store.mark_lost(bench.runner.worker_id, LOST)
    bench.store.away = True
    assert isinstance(bench.run(lambda _: "fine")[-1], Done), "while the store is away"
    bench.store.away = False
    assert run.wait_ended(END_SECONDS)
    talk.over.set()
    check_goes_on(bench)


def test_an_end_that_is_stored_late_wakes_what_waits_for_it() -> None:
    """Its readers here have it before; those that read the store have waited for the store."""
    bench = TurnBench(RefusingStore)
    assert isinstance(bench.store, RefusingStore)
    talk, woken = Talk(), threading.Event()
    run = bench.start(talk)
    wait_for(lambda: stored(bench, run) > 0, "events of a running turn stored", STORED_SECONDS)
    bench.store.away = True
    talk.over.set()
    assert run.wait_ended(END_SECONDS), "without the store"
    bench.runner.follow(run.fence.key, woken.set)
    bench.runner.heartbeat.beat_soon()
    assert woken.wait(END_SECONDS), "by the first heartbeat that finds the session"
    woken.clear()
    bench.store.away = False
    wait_for(lambda: not bench.runner.fences(), "the end is stored")
    assert woken.wait(END_SECONDS), "by the end"
    bench.runner.following.leave(run.fence.key, woken.set)
    bench.runner.close(10)
