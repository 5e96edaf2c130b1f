"""Cancels, deletes and new turns of one session that come at the same moment."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.client import new_session
from tests.support.frames import check_turn
from tests.support.reading import ReadingClient
from tests.support.shared_servers import SharedServers
from tests.support.sse import StreamCutError, text_of
from tests.support.stores import SlowStore
from tests.support.turns import END_SECONDS, TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.events import Cancelled
from wsgi_app.store.base import Fence, SessionKey, TurnClaim
from wsgi_app.store.memory import MemoryStore

TRIES = 100
POSTERS = 8
IDLE_SECONDS = 1.0


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker without a bound on turns."""
    return ReadingClient(servers.get())


def cancel_until_it_does(client: ReadingClient, session: str, done: threading.Event) -> None:
    """Cancel until one of those who do has cancelled something."""
    what = f"{session} cancelled"
    wait_for(lambda: done.is_set() or client.cancel(session)["cancelled"], what)
    done.set()


def test_an_early_cancel_is_not_lost(client: ReadingClient) -> None:
    """Once a cancel answers that it cancelled, however early, the session is idle in a second."""
    with ThreadPoolExecutor(3) as pool:
        for _ in range(TRIES):
            session, done = new_session(), threading.Event()
            cancels = [pool.submit(cancel_until_it_does, client, session, done) for _ in range(3)]
            with client.chat(session, {"hold": True}, on_disconnect="continue") as stream:
                for one in cancels:
                    one.result()
                client.wait_idle(session, IDLE_SECONDS)
                assert [frame.data["type"] for frame in stream] == ["cancelled"]


def silent(turn: Turn) -> Iterator[str]:
    """Do nothing until the end."""
    ended = threading.Event()
    turn.on_cancel(ended.set)
    ended.wait(END_SECONDS)
    yield "late"


def interrupt(bench: TurnBench, key: SessionKey) -> None:
    """Start a turn in the place of all others."""
    run = bench.start(lambda _: "fine", key=key, if_busy="interrupt")
    assert run.wait_ended(IDLE_SECONDS), "the turn that interrupts waits for no time limit"


ENDS: dict[str, Callable[[TurnBench, SessionKey], object]] = {
    "user": lambda bench, key: bench.runner.cancel(key, None, "user"),
    "deleted": lambda bench, key: bench.runner.delete_session(key),
    "interrupted": interrupt,
}


@pytest.mark.parametrize("reason", ENDS)
def test_a_turn_can_be_ended_before_its_worker_knows_that_it_began(reason: str) -> None:
    """What ends a turn that the store has begun, but not yet told so, ends it at once."""
    bench, key = TurnBench(SlowStore), SessionKey("tenant", "s")
    bench.run(lambda _: "first")
    wait_for(lambda: bench.runner.wait_idle(0), "the journal has nothing to do")
    runs: list[TurnRun] = []
    starting = threading.Thread(target=lambda: runs.append(bench.start(silent, key=key)))
    starting.start()
    while bench.store.history(key) is None:
        assert starting.is_alive()
    ENDS[reason](bench, key)
    starting.join()
    assert runs[0].wait_ended(IDLE_SECONDS)
    assert isinstance(runs[0].terminal, Cancelled)


class DeletingStore(MemoryStore):
    """Says of each turn that waits that its session is about to be deleted."""

    def claim_turn(self, fence: Fence) -> TurnClaim:
        """Claim it in vain."""
        return super().claim_turn(fence)._replace(cancel="deleted")


def test_a_turn_that_waits_hears_of_its_deletion_before_it_happens() -> None:
    """The turn ends here, for its readers too, though the store still has it."""
    bench, key = TurnBench(DeletingStore), SessionKey("tenant", "s")
    first = bench.start(silent, key=key)
    second = bench.start(lambda _: "fine", key=key, if_busy="enqueue")
    assert second.wait_ended(IDLE_SECONDS)
    assert events_of(second) == [Cancelled("deleted")]
    first.cancel("user")
    assert first.wait_ended(IDLE_SECONDS)


class Stress:
    """Posts, cancels and deletes in a few sessions at once; ``faults`` says what went wrong."""

    def __init__(self, client: ReadingClient, seconds: float) -> None:
        self._client = client
        self._sessions = [new_session() for _ in range(3)]
        self._until = time.monotonic() + seconds
        self.turns = 0
        self.faults: list[object] = []

    def run(self, work: Callable[[random.Random], None], seed: int) -> None:
        """Do one kind of thing until the time is over."""
        dice = random.Random(seed)  # noqa: S311 - spreads requests, keeps no secret
        try:
            while time.monotonic() < self._until:
                work(dice)
        except Exception as error:  # noqa: BLE001 - its thread's exception is the test's
            self.faults.append(error)

    def post(self, dice: random.Random) -> None:
        """Read a turn of one's own to its end."""
        session, name = dice.choice(self._sessions), new_session()
        work: list[dict[str, Any]] = dice.choice(
            [[], [{"wait": 0.05}], [{"text": "x"}] * 5, [{"wait": 0.01}, {"text": "x"}]]
        )
        kind = dice.choice(["generator", "async"])
        if_busy = dice.choice(["reject", "enqueue", "interrupt"])
        steps = [{"text": name}, *work]
        with self._client.chat(session, *steps, kind=kind, if_busy=if_busy) as stream:
            if stream.status != 200:
                assert stream.status in (409, 429), stream.body()
                return
            try:
                frames = list(stream)
            except StreamCutError as error:
                self.faults.append(error)
                return
        try:
            check_turn(frames)
            own = (name + "xxxxx")[: len(text_of(frames))]
            assert text_of(frames) == own
            numbers = {k.lower(): v for k, v in stream.headers.items()}
            assert (frames[0].id or "").split("-")[0] == numbers["x-turn-id"]
        except AssertionError as error:
            self.faults.append((error, [frame.text for frame in frames]))
        self.turns += 1

    def cancel(self, dice: random.Random) -> None:
        """Cancel whatever is there."""
        self._client.cancel(dice.choice(self._sessions))
        time.sleep(dice.random() * 0.05)

    def delete(self, dice: random.Random) -> None:
        """Delete a session."""
        self._client.call("DELETE", f"/session/{dice.choice(self._sessions)}")
        time.sleep(dice.random() * 0.1)


@pytest.mark.parametrize("seconds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_every_stream_is_its_own_turn_to_one_end(client: ReadingClient, seconds: float) -> None:
    """Whatever else happens in a session, a POST's stream is its turn, with one terminal event."""
    stress = Stress(client, seconds)
    works = [stress.post] * POSTERS + [stress.cancel, stress.delete, stress.delete]
    threads = [
        threading.Thread(target=stress.run, args=(work, seed)) for seed, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + END_SECONDS)
        assert not thread.is_alive()
    assert not stress.faults, (len(stress.faults), stress.turns, stress.faults[:3])
    assert stress.turns > 2 * POSTERS
