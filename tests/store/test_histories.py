"""Random operations of many threads, and of two processes: some order of them explains all."""

from __future__ import annotations

import pickle
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.store.histories import LIMITS, Operation, explain, play
from tests.store.steps import MakeStore
from tests.support.processes import started
from tests.support.servers import Redis
from tests.support.waiting import wait_for

PLAY = "import sys; from tests.store.histories import main; main(*sys.argv[1:])"


def _explained(make_store: MakeStore, seed: int) -> None:
    store = make_store(LIMITS)
    explain(play(store, f"seed-{seed}"))
    store.close()


@pytest.mark.parametrize("seed", range(3))
def test_threads_see_atomic_operations(backend: MakeStore, seed: int) -> None:
    """Whatever many threads do at once, it is as if they had done it one after the other."""
    _explained(backend, seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_threads_see_atomic_operations_at_length(backend: MakeStore) -> None:
    """The same, for many more histories."""
    for seed in range(100, 160):
        _explained(backend, seed)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_processes_see_atomic_operations(redis: Redis, tmp_path: Path, seed: int) -> None:
    """Whatever the threads of two processes do at once, it is as if they had done it in turn."""
    names = [f"p{number}" for number in range(2)]
    with ExitStack() as stack:
        processes = []
        for name in names:
            command = [sys.executable, "-c", PLAY, redis.url]
            command += [str(tmp_path / f"{name}.history"), f"{name}-{seed}"]
            processes.append(stack.enter_context(started(command)))
        for name in names:
            wait_for((tmp_path / f"{name}.ready").exists, f"{name} is ready", 60)
        (tmp_path / "go").touch()
        for process in processes:
            wait_for(lambda: not process.running(), "its operations are done", 90)  # noqa: B023 - called at once
        files = [tmp_path / f"{name}.history" for name in names]
        assert all(file.exists() for file in files), [process.log() for process in processes]
        history: list[Operation] = []
        for file in files:
            history += pickle.loads(file.read_bytes())  # noqa: S301 - the processes are ours
    explain(history)
