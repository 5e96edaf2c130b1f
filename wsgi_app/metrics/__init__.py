"""What the service counts, for Prometheus.

prometheus_client decides at its import, by PROMETHEUS_MULTIPROC_DIR, whether processes share their
counts by files. So it is imported on first use alone: in a worker, whose arbiter has set that
variable (see ``files.py``). In all other cases each process counts for itself. Without the package
(the extra ``metrics``) nothing is counted.
"""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from wsgi_app.metrics.definitions import Metrics

_lock: Final = threading.Lock()
_made: list[Metrics] = []
_noted_pids: Final[set[int]] = set()


def metrics() -> Metrics:
    """All metrics of this process, made on first use; they survive a fork."""
    if not _made:
        with _lock:
            if not _made:
                _made.append(_make())
    return _made[0]


def are_counted() -> bool:
    """Whether the package that counts is installed."""
    return find_spec("prometheus_client") is not None


def _make() -> Metrics:
    if are_counted():
        from wsgi_app.metrics.definitions import Metrics  # noqa: PLC0415 - see above

        return Metrics()
    from wsgi_app.metrics.nothing import NoMetrics  # noqa: PLC0415 - only then

    return cast("Metrics", NoMetrics())


def note_worker() -> None:
    """Count this process as a worker, once."""
    with _lock:
        known = os.getpid() in _noted_pids
        _noted_pids.add(os.getpid())
    if not known:
        metrics().worker_starts.inc()
        metrics().workers.set(1)
