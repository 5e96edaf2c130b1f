"""Server hooks of gunicorn for a clean drain and end. Import them in gunicorn.conf.py.

    from wsgi_app.gunicorn_hooks import (
        child_exit, post_worker_init, pre_fork, worker_exit, worker_int,
    )

A site that has hooks of its own calls these from them. Nothing else of the package is imported
before a worker has forked.
"""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import os
import signal
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

from wsgi_app.compat.gunicorn import leave_connections
from wsgi_app.metrics.files import SharedFolder

if TYPE_CHECKING:
    from collections.abc import Collection

    from wsgi_app.engine.worker.runner import Runner
    from wsgi_app.logs import LogFormat

log = logging.getLogger("wsgi_app")

#: How often a worker looks whether it should leave. gunicorn has no hook for the start of a
#: graceful stop: SIGTERM, a reload and max_requests only clear ``worker.alive`` (its gthread.py).
LOOK_SECONDS = 0.1
#: How often it counts the threads that do not end, which takes longer the more turns there are.
COUNT_SECONDS = 1.0
#: How often a worker that waits for its drain shows its arbiter that it is not stuck.
HEARTBEAT_SECONDS = 1.0
#: What the arbiter spends at the most on a dead worker's turns.
CHILD_EXIT_SECONDS = 0.5
#: How long a worker waits for the one in its place.
REPLACEMENT_SECONDS = 60.0
NOTE_ATTRIBUTE = "wsgi_app_note"
#: A file that is all workers' of a gunicorn: a byte for each that has started, and a lock.
STARTS_ATTRIBUTE = "wsgi_app_starts"

#: How many new objects there may be before the garbage collector looks through them. A start makes
#: a thousand, of which all but ten are freed without it: with Python's own 700 or 2,000 it took 6 %
#: of a worker's CPU time at short turns, with this 1.6 % (measured by `gc.callbacks`).
YOUNG_OBJECTS = 10_000
#: Before the site's code may have set others.
_THRESHOLDS = gc.get_threshold()
#: Used by the arbiter alone.
_counts = SharedFolder()


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker a folder for its counts, and a note to its arbiter.

    The note is an unnamed file that both have open.
    """
    _counts.make(server.cfg.worker_tmp_dir, server.cfg.uid, server.cfg.gid)
    note = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - child_exit closes it
    setattr(worker, NOTE_ATTRIBUTE, note)
    if not hasattr(server, STARTS_ATTRIBUTE):
        starts = tempfile.TemporaryFile("ab", buffering=0)  # noqa: SIM115 - it stays as long as the server
        setattr(server, STARTS_ATTRIBUTE, starts)
    setattr(worker, STARTS_ATTRIBUTE, getattr(server, STARTS_ATTRIBUTE))


def post_worker_init(worker: Any) -> None:
    """Sign the worker on, watch for its end, and drain its hosts when it comes."""
    # What the app has loaded stays. Else each full collection looks through all of it: a tenth of a
    # second (120,000 objects with the openai package, measured) in which no stream gets a byte.
    gc.collect()
    gc.freeze()
    if gc.get_threshold() == _THRESHOLDS:  # else the site has its own
        gc.set_threshold(YOUNG_OBJECTS, *_THRESHOLDS[1:])
    from wsgi_app.delivery.detached.handover import note_connections  # noqa: PLC0415 - not before the fork
    from wsgi_app.engine.runtime.threads import start_thread  # noqa: PLC0415 - the same
    from wsgi_app.engine.worker.registry import announce_runners  # noqa: PLC0415 - not before the fork
    from wsgi_app.metrics import note_worker  # noqa: PLC0415 - the same

    note_worker()
    announce_runners(lambda runner: _write_note(worker, runner))
    drained = threading.Event()
    worker.wsgi_app_drained = drained
    leave_connections(worker)
    note_connections(worker)
    start_thread(_sign_on, "sign-on")
    # gunicorn closes its own before `worker_exit` (``spawn_worker`` in its arbiter.py).
    worker.wsgi_app_heartbeat = os.dup(worker.tmp.fileno())
    start_thread(lambda: _watch(worker, drained), "drain-watch")
    starts = getattr(worker, STARTS_ATTRIBUTE, None)
    if starts is not None:
        starts.write(b".")


def worker_int(worker: Any) -> None:
    """SIGINT or SIGQUIT: gunicorn leaves at once, so the turns end at once."""
    _drain_all(0.0)
    getattr(worker, "wsgi_app_drained", threading.Event()).set()


def worker_exit(_server: Any, worker: Any) -> None:
    """Wait until the drain is through, so that the last events are with readers and store.

    gunicorn itself waits for its own connections alone: parked streams are no longer among them.
    """
    drained = getattr(worker, "wsgi_app_drained", None)
    if drained is None:
        return
    worker.alive = False  # it may have left for another reason: its arbiter has gone
    deadline = time.monotonic() + max(1.0, worker.cfg.graceful_timeout)
    while not drained.wait(HEARTBEAT_SECONDS) and (now := time.monotonic()) < deadline:
        os.utime(worker.wsgi_app_heartbeat, (now, now))


def child_exit(server: Any, worker: Any) -> None:
    """End the turns of a worker that died; runs in the arbiter, with a fresh connection."""
    for one in _read_note(worker):
        if "replaced" not in one:
            _end_turns(**one)
        elif server.num_workers > server.cfg.workers:  # else a reload has counted again
            server.num_workers -= 1
    _forget_counts(worker.pid, server.WORKERS)


def _read_note(worker: Any) -> list[dict[str, Any]]:
    note = getattr(worker, NOTE_ATTRIBUTE, None)
    if note is None:
        return []
    with note:
        note.seek(0)
        return [json.loads(line) for line in note.read().decode().splitlines()]


def _sign_on() -> None:
    """Let the other workers and the command line see this one before its first turn."""
    from wsgi_app.engine.worker.registry import hosts  # noqa: PLC0415 - not before the fork

    for host in hosts():
        host.runner.heartbeat.sign_on()


def _forget_counts(pid: int, living: Collection[int]) -> None:
    try:
        _counts.forget(pid, living)
    except Exception:
        # Of any kind: it would end the arbiter, and with it all workers.
        log.exception("the counts of the dead worker %d cannot be merged", pid)


def _watch(worker: Any, drained: threading.Event) -> None:
    counts_at = 0.0
    while worker.alive:
        if time.monotonic() >= counts_at:
            counts_at = time.monotonic() + COUNT_SECONDS
            _recycle(worker)
        time.sleep(LOOK_SECONDS)
    _drain_all(None)
    drained.set()


def _recycle(worker: Any) -> None:
    """Have a worker replaced that holds too many threads which do not end.

    One of a gunicorn's at a time, and its replacement takes requests before it leaves.
    """
    if not any(runner.abandoned.is_clogged for runner in _live_runners()):
        return
    starts = getattr(worker, STARTS_ATTRIBUTE, None)
    note = getattr(worker, NOTE_ATTRIBUTE, None)
    if starts is None or note is None:
        log.error("too many agent threads do not end: the worker is replaced")
        worker.alive = False
        return
    try:
        fcntl.lockf(starts, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends
    except OSError:
        return  # another one is being replaced
    log.error("too many agent threads do not end: the worker is replaced by a new one")
    before = os.fstat(starts.fileno()).st_size
    note.write(json.dumps({"replaced": True}).encode() + b"\n")
    os.kill(worker.ppid, signal.SIGTTIN)  # one worker more; `child_exit` counts it out again
    deadline = time.monotonic() + REPLACEMENT_SECONDS
    while worker.alive and time.monotonic() < deadline:
        if os.fstat(starts.fileno()).st_size > before:
            break
        time.sleep(LOOK_SECONDS)
    worker.alive = False


def _write_note(worker: Any, runner: Runner) -> None:
    note = getattr(worker, NOTE_ATTRIBUTE, None)
    if note is not None and runner.store.shared:
        line = {
            "redis_url": runner.settings.redis_url,
            "namespace": runner.settings.host,
            "worker_id": runner.worker_id,
            "log_format": runner.settings.log_format,
            "max_attempts": runner.settings.max_attempts,
            "lease_seconds": runner.settings.lease_seconds,
        }
        note.write(json.dumps(line).encode() + b"\n")


def _drain_all(seconds: float | None) -> None:
    from wsgi_app.engine.worker.drain import drain_all  # noqa: PLC0415 - not before the fork

    drain_all(seconds)


def _live_runners() -> list[Runner]:
    from wsgi_app.engine.worker.registry import live_runners  # noqa: PLC0415 - not before the fork

    return live_runners()


def _end_turns(  # noqa: PLR0913 - the fields of a note
    *,
    redis_url: str,
    namespace: str,
    worker_id: str,
    log_format: LogFormat,
    max_attempts: int,
    lease_seconds: float,
) -> None:
    from wsgi_app.engine.turn.failures import (  # noqa: PLC0415 - keeps the arbiter small
        WORKER_LOST_JSON,
        WORKERS_LOST_JSON,
        lost_messages,
    )
    from wsgi_app.errors import StoreUnavailable  # noqa: PLC0415 - the same
    from wsgi_app.store.redis import RedisStore  # noqa: PLC0415 - the same
    from wsgi_app.store.values import StoreLimits  # noqa: PLC0415 - the same

    try:
        store = RedisStore(
            redis_url,
            StoreLimits(max_attempts=max_attempts, lease_seconds=lease_seconds),
            namespace=namespace,
            timeout_seconds=CHILD_EXIT_SECONDS,
            measured=False,
        )
        try:
            lost = store.mark_lost(
                worker_id, WORKER_LOST_JSON, lost_messages, again=WORKERS_LOST_JSON
            )
            resumes = store.resumes if max_attempts > 1 else None
            if resumes is not None and resumes.of_worker(worker_id):
                # Others continue these: now, not when the lease is over.
                resumes.declare_lost(worker_id)
        finally:
            store.close()
    except StoreUnavailable:
        log.warning(
            "pid %d: the store does not answer; a dead worker's lease runs out", os.getpid()
        )
    else:
        if lost:
            # Not before: readers wait for the end, and this loads more.
            from wsgi_app.engine.turn.report import report_lost  # noqa: PLC0415 - the same

            report_lost(lost, namespace, log_format)
            log.warning("worker %s died with %d turns", worker_id, len(lost))
