"""What a worker's other turns cost one of them: nothing that grows with their number."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.turns import END_SECONDS, TurnBench
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.config import Settings
from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.worker.heartbeat import RENEWED_AT_ONCE, HeartbeatThread
from wsgi_app.engine.worker.journal import FLUSH_SECONDS, Journal
from wsgi_app.engine.worker.run_table import RunTable
from wsgi_app.errors import RequestError
from wsgi_app.events import CancelReason, Terminal, Token, encode_event
from wsgi_app.store.base import (
    BeginTurn,
    Fence,
    Heartbeat,
    Message,
    SessionKey,
    StoreLimits,
    WorkerInfo,
)
from wsgi_app.store.memory import MemoryStore

IDLE_TURNS = 1000
HURRIES = 200
LIMITS = StoreLimits(max_turns_per_tenant=10_000, max_sessions_per_tenant=10_000)


class CountedTurn:
    """A turn without an agent, which counts how often the journal asks whether it runs."""

    running = True
    terminal: Terminal | None = None
    ended_at = 0.0
    stored_before = 0
    leaving = False
    looks = 0

    def __init__(self, store: MemoryStore, number: int) -> None:
        key = SessionKey("tenant", f"session-{number}")
        begun = store.begin_turn(
            BeginTurn(key=key, run_id=f"run-{number}", worker_id="worker", message="hi")
        )
        self.fence = Fence(key, begun.turn, f"run-{number}")
        self._log = EventLog(begun.turn)

    @property
    def log(self) -> EventLog:
        """What the journal reads, counted."""
        type(self).looks += 1
        return self._log

    def send(self) -> None:
        """Append a token."""
        token = Token("a")
        self._log.append(token, encode_event(token))

    def cancel(self, reason: CancelReason) -> bool:
        """Never asked for."""
        raise AssertionError(reason)

    def closing_messages(self) -> Sequence[Message]:
        """Never asked for."""
        raise AssertionError

    def publish(self) -> None:
        """Never asked for."""
        raise AssertionError

    def fence_off(self) -> None:
        """Never asked for."""
        raise AssertionError

    def fail(self) -> None:
        """Never asked for."""
        raise AssertionError

    def leave(self) -> None:
        """Never asked for."""
        raise AssertionError

    def take_answer(self) -> None:
        """Nothing waits."""

    def orphan_checked(self, *, followed: bool) -> None:
        """Never asked for."""
        raise AssertionError(followed)


def test_a_write_does_not_look_through_all_turns() -> None:
    """What is urgent for one turn is written without a look at the thousand that have nothing."""
    store = MemoryStore(LIMITS)
    journal = Journal(store, "site/agents")
    turns = [CountedTurn(store, number) for number in range(IDLE_TURNS)]
    for turn in turns:
        journal.add(turn)
    busy = turns[0]
    CountedTurn.looks = 0
    began_at = time.monotonic()
    for number in range(1, HURRIES + 1):
        busy.send()
        journal.hurry(busy.fence)
        wait_for(lambda n=number: stored(store, busy) == n, "the event is stored")  # type: ignore[misc] # mypy cannot infer a lambda's defaults
    rounds_by_time = (time.monotonic() - began_at) / FLUSH_SECONDS + 1
    # Each turn is looked at a few times per flush; each write would look at all of them.
    assert CountedTurn.looks < IDLE_TURNS * (HURRIES / 4 + 10 * rounds_by_time)
    journal.stop(10)


def stored(store: MemoryStore, turn: CountedTurn) -> int:
    """Count a turn's events in the store."""
    claim = store.append(turn.fence, 1, [])
    return claim.last_seq


class NotedStore(MemoryStore):
    """Notes what each heartbeat renews."""

    def __init__(self, limits: StoreLimits, heartbeat_seconds: float = 0.0) -> None:
        super().__init__(limits)
        self._heartbeat_seconds = heartbeat_seconds
        self.renewed: list[Sequence[Fence]] = []
        self.followed: list[Sequence[SessionKey]] = []

    def heartbeat(
        self,
        worker_id: str,
        fences: Sequence[Fence],
        following: Sequence[SessionKey] = (),
        info: WorkerInfo | None = None,
    ) -> Heartbeat:
        """Note it, and renew."""
        self.renewed.append(fences)
        self.followed.append(following)
        time.sleep(self._heartbeat_seconds)
        return super().heartbeat(worker_id, fences, following, info)


def test_a_heartbeat_renews_all_in_parts() -> None:
    """All turns and all followed sessions are renewed, and none twice, some hundreds at a time."""
    store = NotedStore(LIMITS)
    turns = [CountedTurn(store, number) for number in range(IDLE_TURNS + 1)]
    worker = KeptTurns([turn.fence for turn in turns])
    heartbeat = HeartbeatThread(store, "worker", Settings(), worker)
    store.request_cancel(turns[-1].fence.key, None, "user")
    heartbeat.start()
    heartbeat.stop(10)
    assert max(map(len, [*store.renewed, *store.followed])) == RENEWED_AT_ONCE
    assert [one for part in store.renewed for one in part] == worker.all_fences
    assert [one for part in store.followed for one in part] == worker.followed_sessions()
    assert worker.cancelled == {turns[-1].fence: "user"}


def test_a_slow_store_is_asked_for_all_the_rest() -> None:
    """Where the parts take long, no lease runs out between the first and the last of them."""
    store = NotedStore(LIMITS, heartbeat_seconds=0.1)
    turns = [CountedTurn(store, number) for number in range(IDLE_TURNS + 1)]
    worker = KeptTurns([turn.fence for turn in turns])
    heartbeat = HeartbeatThread(store, "worker", Settings(lease_seconds=1), worker)
    heartbeat.start()
    heartbeat.stop(10)
    assert len(store.renewed) <= 3
    assert [one for part in store.renewed for one in part] == worker.all_fences
    assert [one for part in store.followed for one in part] == worker.followed_sessions()


class KeptTurns:
    """A worker with these turns, which follows two sessions less than it has."""

    def __init__(self, fences: list[Fence]) -> None:
        self.all_fences = fences
        self.cancelled: dict[Fence, CancelReason] = {}

    def fences(self) -> list[Fence]:
        """All of them."""
        return self.all_fences

    def followed_sessions(self) -> list[SessionKey]:
        """Most of theirs."""
        return [fence.key for fence in self.all_fences[2:]]

    def info(self) -> WorkerInfo:
        """Nothing."""
        return WorkerInfo()

    def take_heartbeat(self, beat: Heartbeat) -> None:
        """Keep what the store says of the turns."""
        self.cancelled |= beat.cancels

    def close_idle(self) -> None:
        """Nothing is idle."""


def test_the_table_forgets_what_has_ended() -> None:
    """A worker that is full of ended turns takes another one at once."""
    bench = TurnBench(max_turns=3)
    for _ in range(10):
        bench.run(lambda _: "done")
    assert not bench.runner.cancel(SessionKey("tenant", "session-1"), None, "user")


def test_a_full_table_refuses() -> None:
    """Turns that begin count, and those whose agent goes on after their end."""
    table = RunTable(0)
    with pytest.raises(RequestError, match="as many turns"):
        table.begin(SessionKey("tenant", "session"))


def test_turns_that_begin_at_once_are_no_more_than_may_run() -> None:
    """Each has its place before the store has begun it, and one that fails to begin leaves it."""
    table = RunTable(2)
    first, second, third = (SessionKey("tenant", name) for name in "abc")
    table.begin(first)
    table.begin(second)
    with pytest.raises(RequestError, match="as many turns"):
        table.begin(third)
    table.begun(first)
    table.begin(third)
    with pytest.raises(RequestError, match="as many turns"):
        table.begin(first)


def test_a_turn_has_one_place_from_its_beginning_on() -> None:
    """As many as may run begin at once, and run."""
    bench = TurnBench(max_turns=8)
    may_end = threading.Event()

    def hold(_: Turn) -> str:
        assert may_end.wait(END_SECONDS)
        return "done"

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: bench.start(hold), range(8)))
    with pytest.raises(RequestError, match="as many turns"):
        bench.start(hold)
    may_end.set()
    assert all(run.wait_ended(END_SECONDS) for run in runs)
    assert bench.run(lambda _: "done")
    bench.runner.close(10)


def test_a_closed_table_refuses() -> None:
    """None begins on a worker that is about to leave, and the one that is beginning is seen."""
    table = RunTable(10)
    key = SessionKey("tenant", "session")
    table.begin(key)
    table.close()
    assert table.is_beginning
    with pytest.raises(RequestError, match="about to leave"):
        table.begin(key)
    table.begun(key)
    assert not table.is_beginning
