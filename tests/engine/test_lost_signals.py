"""Questions whose worker does not hear what becomes of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from tests.support.turns import END_SECONDS, TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.engine.turn.queue import CLAIM_SECONDS
from wsgi_app.events import Cancelled, Done, EventId, InputRequest
from wsgi_app.store.base import Fence
from wsgi_app.store.memory import MemoryStore
from wsgi_app.store.memory.session import Push


class MuteStore(MemoryStore):
    """Loses all signals."""

    def _send(self, pushes: Sequence[Push]) -> None:
        pass


class DeletedStore(MuteStore):
    """Another worker deletes a session just before its answer is looked for."""

    def take_input(self, fence: Fence, request_id: str) -> bytes | None:
        """See `Store`."""
        self.delete_session(fence.key)
        return super().take_input(fence, request_id)


def ask(turn: Turn) -> str:
    """Ask, and tell the answer."""
    return str(turn.ask("which?"))


def test_an_answer_is_taken_without_its_signal() -> None:
    """The next heartbeat finds an answer whose signal was lost."""
    bench = TurnBench(MuteStore, lease_seconds=1)
    run = bench.start(ask)
    wait_for(lambda: events_of(run), "the question")
    question = events_of(run)[0]
    assert isinstance(question, InputRequest)
    wait_for(lambda: bench.store.read(run.fence.key, EventId(1, 0), 1), "the turn in the store")
    bench.store.post_input(run.fence.key, question.request_id, b'"blue"')
    assert run.wait_ended(END_SECONDS)
    assert isinstance(run.terminal, Done)
    assert run.terminal.reply == "blue"
    bench.runner.close(10)


def test_a_turn_that_is_deleted_while_its_answer_is_looked_for_ends_as_deleted() -> None:
    """It is told as what it is, and not as a fault of the agent."""
    bench = TurnBench(DeletedStore)
    run = bench.start(ask)
    assert run.wait_ended(END_SECONDS)
    assert run.terminal == Cancelled("deleted")
    bench.runner.close(10)


def test_a_turn_behind_one_of_its_own_worker_needs_no_signal() -> None:
    """Ten go through at once: who writes an end wakes what waits for it here."""
    bench = TurnBench(MuteStore)
    may_end = threading.Event()

    def hold(_: Turn) -> str:
        assert may_end.wait(END_SECONDS)
        return "done"

    runs = [bench.start(hold)]
    runs += [bench.start(hold, key=runs[0].fence.key, if_busy="enqueue") for _ in range(9)]
    began_at = time.monotonic()
    may_end.set()
    assert all(run.wait_ended(END_SECONDS) for run in runs)
    assert time.monotonic() - began_at < CLAIM_SECONDS * 5  # each would wait that long
    bench.runner.close(10)
