"""Readers that wait for sessions which are not there yet, or in which nothing runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from tests.engine.test_lost_signals import MuteStore
from tests.support.turns import TurnBench
from tests.support.waiting import wait_for
from wsgi_app.delivery.many_feeds import ManyFeeds
from wsgi_app.engine.worker import births as module
from wsgi_app.engine.worker.births import Births
from wsgi_app.errors import StoreUnavailable
from wsgi_app.events import EventId
from wsgi_app.store.base import SessionKey
from wsgi_app.store.memory import MemoryStore

KEY = SessionKey("tenant", "later")
ROUND_SECONDS = 0.02


class SharedStore(MemoryStore):
    """A store that others share, which counts what it is asked and may be away."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.born: list[SessionKey] = []
        self.is_away = False

    def recent_sessions(self, tenants: Sequence[str], seconds: float) -> list[SessionKey]:
        """See `Store`."""
        assert seconds > 0
        self.asked.append(sorted(tenants))
        if self.is_away:
            raise StoreUnavailable
        return self.born


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> SharedStore:
    """An empty store, which is asked often."""
    monkeypatch.setattr(module, "ASK_SECONDS", ROUND_SECONDS)
    return SharedStore()


@pytest.fixture
def births(store: SharedStore) -> Iterator[Births]:
    """What is tested, ended behind the test."""
    made = Births(store)
    yield made
    made.stop(10)


def asks_again(store: SharedStore, times: int = 2) -> None:
    """Wait until the store has been asked so many times more."""
    before = len(store.asked)
    wait_for(lambda: len(store.asked) >= before + times, "the store is asked")


def test_one_thread_asks_for_all(store: SharedStore, births: Births) -> None:
    """Whatever the readers wait for, a round is one question that names each tenant once."""
    for number in range(100):
        for tenant in ("a", "b"):
            births.join(SessionKey(tenant, f"s-{number}"), lambda: None)
    asks_again(store, 5)
    assert store.asked[-1] == ["a", "b"]
    named = [thread for thread in threading.enumerate() if thread.name == "wsgi_app-births"]
    assert len(named) == 1


def test_the_thread_ends_with_the_last_reader(store: SharedStore, births: Births) -> None:
    """Nobody is asked while nobody waits; the next reader has it asked again."""
    woken = threading.Event()
    births.join(KEY, woken.set)
    asks_again(store)
    births.leave(KEY, woken.set)
    wait_for(lambda: births._thread is None, "the thread ends")  # noqa: SLF001 - what it is about
    births.join(KEY, woken.set)
    store.born = [SessionKey("tenant", "another"), KEY]
    assert woken.wait(10)


def test_an_outage_hides_no_birth(store: SharedStore, births: Births) -> None:
    """After more time than a question looks back, all who wait look for themselves, once."""
    woken = threading.Event()
    births.join(KEY, woken.set)
    store.is_away = True
    asks_again(store, 2 * module.ROUNDS_ASKED)
    assert not woken.is_set()
    store.is_away = False
    assert woken.wait(10)
    asks_again(store)
    woken.clear()
    asks_again(store)
    assert not woken.is_set()


def test_a_turn_without_a_signal_is_found_by_the_heartbeat() -> None:
    """A reader of an idle session learns of a turn whose signals were lost."""
    bench = TurnBench(MuteStore, lease_seconds=1)
    first = bench.start(lambda _: "one")
    assert first.wait_ended(10)
    feed = ManyFeeds(bench.runner, [first.fence.key], [None])
    assert feed.read(0) == []
    second = bench.start(lambda _: "two", key=first.fence.key)
    assert second.wait_ended(10)
    found = [EventId(0, 0)]

    def take() -> bool:
        found.extend(event.id for event in feed.read(0.1))
        return found[-1] == EventId(2, 2)

    wait_for(take, "the second turn")
    feed.close()
    bench.runner.close(10)


def test_a_start_here_wakes_at_once() -> None:
    """This worker's own start tells its readers of the session without the store's help."""
    bench = TurnBench(MuteStore)
    feed = ManyFeeds(bench.runner, [KEY], [None])
    assert feed.read(0) == []
    woken = threading.Event()
    feed.call_when_woken(woken.set)
    run = bench.start(lambda _: "one", key=KEY)
    assert woken.is_set()
    assert run.wait_ended(10)
    assert [str(event.id) for event in feed.read(0)] == ["1-1", "1-2"]
    feed.close()
    bench.runner.close(10)
