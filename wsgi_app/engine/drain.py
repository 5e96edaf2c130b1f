"""How a worker leaves: a numbered list with a deadline."""

from __future__ import annotations

import logging
import time

from wsgi_app.engine.runner import Runner
from wsgi_app.events import Error

log = logging.getLogger("wsgi_app")

WORKER_SHUTDOWN = Error("worker_shutdown", "The worker is leaving.", {}, retryable=True)
#: Kept of the whole time for the last events and the agents' close().
CLOSING_SECONDS = 3.0


def drain(runner: Runner, seconds: float) -> None:
    """Let a worker leave within about ``seconds`` plus `CLOSING_SECONDS`.

    Returns when it may exit; nothing of it is running in the store then, unless the log says so.
    """
    started_at = time.monotonic()
    # 1. Stop admitting: 503 `draining`, and not ready.
    runner.stop_admitting()
    # 2. Let turns finish.
    finished = runner.wait_idle(seconds)
    # 3. End the rest; their readers see an error that is worth a retry.
    if not finished:
        log.warning("%d turns are ended because the worker leaves", len(runner.fences()))
        runner.end_turns(WORKER_SHUTDOWN)
    # 4. Flush the journal.
    if not runner.wait_idle(CLOSING_SECONDS):
        log.warning("%d turns are left unfinished in the store", len(runner.fences()))
    # 5. Let parked streams take their last events. 6. Close agents. 7. Sign off.
    runner.close(CLOSING_SECONDS)
    log.info("the worker has drained in %.1f s", time.monotonic() - started_at)
