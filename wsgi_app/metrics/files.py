"""The folder in which the workers of a gunicorn share their counts, and what the dead have left.

prometheus_client gives each process files of its own, ``<type>_<pid>.db``, which are summed when
they are read. Those of a dead worker are merged into one, so that they do not become more with
every worker that is replaced. Used by the arbiter, but for `reading`.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from wsgi_app.metrics import are_counted

#: Where prometheus_client looks for the folder.
VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_LOCK_NAME: Final = "lock"
#: The files of the dead, by type; the second part of a name is otherwise a process id.
_MERGED: Final = "merged"
#: What the dead have counted stays; their gauges go.
_LASTING: Final = ("counter", "histogram")
#: The longest that a reader waits for the arbiter's merge, which takes milliseconds.
_READ_WAIT_SECONDS: Final = 1.0
#: The longest that the arbiter waits for readers, who take milliseconds too: it serves all workers.
_MERGE_WAIT_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.01


class SharedFolder:
    """The folder of one arbiter, made by it unless the site has named one; one thread's."""

    def __init__(self) -> None:
        self._own: Path | None = None
        self._dead: set[int] = set()

    def make(self, parent: str | None, uid: int, gid: int) -> None:
        """Make the folder in ``parent``, the system's own if None, and name it to the workers.

        It is theirs, who may run as another user (gunicorn's ``user`` and ``group``).
        """
        if self._own is None:
            if os.environ.get(VARIABLE) or not are_counted():
                return
            self._own = Path(tempfile.mkdtemp(prefix="wsgi_app-metrics-", dir=parent))
            os.environ[VARIABLE] = str(self._own)
            atexit.register(_remove, self._own, os.getpid())
        # Again: a clean-up of temporary files may have removed it.
        self._own.mkdir(mode=0o700, exist_ok=True)
        lock = self._own / _LOCK_NAME
        lock.touch()
        if (uid, gid) != (os.geteuid(), os.getegid()):
            for path in (self._own, lock):
                os.chown(path, uid, gid)

    def forget(self, pid: int, living: Collection[int]) -> None:
        """Drop a dead worker's gauges, and merge its counts with those of the other dead."""
        if not os.environ.get(VARIABLE) or not are_counted():
            return
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - see metrics

        mark_process_dead(pid)
        self._dead.add(pid)
        self._dead -= set(living)  # a new worker may have the number of a dead one
        if self._own is not None and self._own.is_dir():
            with (self._own / _LOCK_NAME).open() as lock:
                if _lock_within(_MERGE_WAIT_SECONDS, lock, fcntl.LOCK_EX):
                    _merge(self._own, self._dead)
                    self._dead.clear()


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Hold off a merge, which for a moment leaves some counts there twice, or not at all."""
    path = folder / _LOCK_NAME
    if not path.exists():  # the site's own folder: nothing is merged there
        yield
        return
    with path.open() as lock:
        _lock_within(_READ_WAIT_SECONDS, lock, fcntl.LOCK_SH)
        yield


def _lock_within(seconds: float, lock: IO[str], kind: int) -> bool:
    deadline = time.monotonic() + seconds
    while not _try_lock(lock, kind):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _try_lock(lock: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _merge(folder: Path, pids: Collection[int]) -> None:
    from prometheus_client.mmap_dict import MmapedDict, mmap_key  # noqa: PLC0415 - see metrics
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - the same

    from wsgi_app.compat.prometheus import write_value  # noqa: PLC0415 - the same

    for kind in _LASTING:
        dead = [path for pid in pids if (path := folder / f"{kind}_{pid}.db").exists()]
        merged, made = folder / f"{kind}_{_MERGED}.db", folder / f"{kind}_{_MERGED}.new"
        known = [merged] if merged.exists() else []
        made.unlink(missing_ok=True)
        sums = MmapedDict(str(made))
        try:
            for metric in MultiProcessCollector.merge(map(str, known + dead), accumulate=False):
                for sample in metric.samples:
                    names, labels = list(sample.labels), list(sample.labels.values())
                    key = mmap_key(metric.name, sample.name, names, labels, metric.documentation)
                    write_value(sums, key, sample.value)
        finally:
            sums.close()
        made.replace(merged)
        for path in dead:
            path.unlink()


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # forked workers leave it alone
        shutil.rmtree(folder, ignore_errors=True)
