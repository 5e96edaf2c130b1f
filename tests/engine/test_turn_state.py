"""A turn has one state, one writer of it, and one function that is its end."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.processes import ROOT
from tests.support.turns import TurnBench
from tests.support.waiting import wait_for
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.engine.worker.drain import drain
from wsgi_app.errors import Fenced
from wsgi_app.events import Cancelled, Terminal
from wsgi_app.store.memory import MemoryStore

End = Callable[[TurnBench, TurnRun], Any]


class DeafStore(MemoryStore):
    """Takes no write any more once it is ``deaf``: the turn is another's."""

    deaf = False

    def write(self, writes: Any) -> Any:
        """Write, unless the turns are fenced off."""
        return [Fenced() for _ in writes] if self.deaf else super().write(writes)


def hold(turn: Turn) -> Iterator[str]:
    """Say a word and wait for the turn's end."""
    ended = threading.Event()
    turn.on_cancel(ended.set)
    yield "word"
    assert ended.wait(30)


def fail(_: Turn) -> None:
    """Fail."""
    raise ValueError("broken")


def flood(turn: Turn) -> None:
    """Say more than a turn may."""
    turn.emit("x" * 2000)


def lose_fence(bench: TurnBench, run: TurnRun) -> None:
    """Have the store take no more writes of the turn."""
    assert isinstance(bench.store, DeafStore)
    bench.store.deaf = True
    bench.runner.heartbeat.beat_soon()
    run._services.journal.hurry(run.fence)  # noqa: SLF001 - the heartbeat would do so in seconds


ENDS: dict[str, tuple[Callable[[Turn], Any], End | None, str]] = {
    "done": (lambda _: "word", None, "done"),
    "error": (fail, None, "agent_error"),
    "too large": (flood, None, "output_too_large"),
    "time limit": (hold, None, "turn_timeout"),
    "cancel": (hold, lambda bench, run: bench.runner.cancel(run.fence.key, None, "user"), "user"),
    "hang-up": (hold, lambda _, run: run.orphan_checked(followed=False), "disconnected"),
    "deleted": (hold, lambda bench, run: bench.runner.delete_session(run.fence.key), "deleted"),
    "lost fence": (hold, lose_fence, "interrupted"),
    "drain": (hold, lambda bench, _: drain(bench.runner, 0), "worker_shutdown"),
}


@pytest.mark.parametrize("name", ENDS)
def test_all_ends_are_one_function(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends a turn passes `TurnRun._end`, once, and `TurnRun._leave`, once."""
    passed: list[Terminal | None] = []
    left: list[str] = []
    end, leave = TurnRun._end, TurnRun._leave  # noqa: SLF001 - the functions that this is about

    def note_end(run: TurnRun, terminal: Terminal | None) -> None:
        passed.append(terminal)
        end(run, terminal)

    def note_leave(run: TurnRun, to: Any) -> None:
        left.append(to)
        leave(run, to)

    monkeypatch.setattr(TurnRun, "_end", note_end)
    monkeypatch.setattr(TurnRun, "_leave", note_leave)
    agent, act, expected = ENDS[name]
    limit = 0.3 if name == "time limit" else 30.0
    bench = TurnBench(DeafStore, max_output_bytes=1000, turn_timeout_seconds=limit)
    run = bench.start(agent)
    if act is not None:
        wait_for(lambda: run.log.last_seq > 0, "the turn runs")
        act(bench, run)
    assert run.wait_ended(30)
    terminal = passed[0]
    told = terminal.reason if isinstance(terminal, Cancelled) else getattr(terminal, "code", "done")
    place = "elsewhere" if name == "lost fence" else "out"
    assert (len(passed), told, left) == (1, expected, [place])


def test_of_many_ends_one_counts() -> None:
    """Ends that come together are one end, and the first one's."""
    bench = TurnBench()
    run = bench.start(hold)
    wait_for(lambda: run.log.last_seq > 0, "the turn runs")
    taken: list[bool] = []
    gate = threading.Barrier(8)

    def cancel() -> None:
        gate.wait(10)
        taken.append(run.cancel("user"))

    threads = [threading.Thread(target=cancel) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(taken) == [False] * 7 + [True]
    assert run.wait_ended(30)
    time_of_end = run.ended_at
    assert not run.move("running")
    assert (run.ended, run.ended_at) == (True, time_of_end)
    assert time_of_end <= time.monotonic()


def test_one_place_changes_a_turns_stage() -> None:
    """Only `TurnRun.move` moves a turn's state on."""
    movers = set()
    for path in (ROOT / "wsgi_app").rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                calls = [ast.unparse(n) for n in ast.walk(function) if isinstance(n, ast.Call)]
                if any("_state.move(" in call for call in calls):
                    movers.add((path.name, function.name))
    assert movers == {("run.py", "move")}


def test_a_fenced_turn_writes_nothing() -> None:
    """A turn that another worker has ended, or goes on with, leaves without an end of its own."""
    bench = TurnBench(DeafStore)
    run = bench.start(hold)
    wait_for(lambda: run.log.last_seq > 0, "the turn runs")
    lose_fence(bench, run)
    assert run.wait_ended(30)
    assert run.log.cut
    assert not run.log.ended
