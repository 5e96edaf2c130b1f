"""How a worker leaves: a numbered list with a deadline."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial

from wsgi_app.engine.runtime.threads import start_last_thread, start_thread
from wsgi_app.engine.worker.registry import live_runners
from wsgi_app.engine.worker.runner import Runner
from wsgi_app.events import Error

log = logging.getLogger("wsgi_app")

WORKER_SHUTDOWN = Error("worker_shutdown", "The worker is leaving.", {}, retryable=True)
#: Kept of the whole time for the last events and the agents' close().
CLOSING_SECONDS = 3.0
#: How often a worker looks whether it should leave.
LOOK_SECONDS = 0.1


def drain(runner: Runner, seconds: float) -> None:
    """Let a worker leave within about ``seconds`` plus `CLOSING_SECONDS`.

    Returns when it may exit; nothing of it is running in the store then, unless the log says so.
    """
    started_at = time.monotonic()
    # 1. Stop admitting: 503 `draining`, and not ready.
    runner.stop_admitting()
    # 2. Let turns finish.
    finished = runner.wait_idle(seconds)
    # 3. Leave the rest to other workers, or end it; its readers see an error that is worth a retry.
    if not finished:
        unfinished = len(runner.fences())
        handed = runner.end_turns(WORKER_SHUTDOWN)
        message = "the worker leaves: %d turns are ended, %d continue elsewhere"
        log.warning(message, unfinished - handed, handed)
    # 4. Flush the journal.
    if not runner.wait_idle(CLOSING_SECONDS):
        log.warning("%d turns are left unfinished in the store", len(runner.fences()))
    # 5. Let parked streams take their last events. 6. Close agents. 7. Sign off.
    runner.close(CLOSING_SECONDS)
    log.info("the worker has drained in %.1f s", time.monotonic() - started_at)


def drain_all(seconds: float | None) -> None:
    """Drain the hosts of this process at the same time; None is AGENT_DRAIN_SECONDS."""
    threads = []
    for runner in live_runners():
        time_left = runner.settings.drain_seconds if seconds is None else seconds
        threads.append(start_thread(partial(drain, runner, time_left), "drain"))
    for thread in threads:
        thread.join()


class _DrainWatch:
    """The process that looks whether it should leave; ``lock`` guards it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pid = 0


_drain_watch = _DrainWatch()


def drain_when(leaving: Callable[[], bool]) -> None:
    """Drain this process once it is about to leave, or has begun to exit; its exit waits for that.

    Does this once for a process.
    """
    with _drain_watch.lock:
        if _drain_watch.pid == os.getpid():
            return
        _drain_watch.pid = os.getpid()

    def watch() -> None:
        main = threading.main_thread()
        while main.is_alive() and not leaving():
            time.sleep(LOOK_SECONDS)
        drain_all(None if main.is_alive() else 0.0)

    start_last_thread(watch, "drain-watch")
