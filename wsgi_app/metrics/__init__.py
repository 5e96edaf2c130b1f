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
    from wsgi_app.metrics.definitions import Metrics, ProcessMetrics

_lock: Final = threading.Lock()
#: By their hosts' names.
_made: Final[dict[str, Metrics]] = {}
_process: Final[list[ProcessMetrics]] = []
_noted_pids: Final[set[int]] = set()


def metrics(host: str) -> Metrics:
    """One host's metrics in this process, made on first use; they survive a fork.

    Hosts of one name are one host, and count together.
    """
    made = _made.get(host)
    if made is None:
        with _lock:
            made = _made.get(host) or _made.setdefault(host, _make(host))
    return made


def process_metrics() -> ProcessMetrics:
    """What is counted of this process, whichever hosts are in it; made on first use."""
    with _lock:
        if not _process:
            _process.append(_make_process())
        return _process[0]


def are_counted() -> bool:
    """Whether the package that counts is installed."""
    return find_spec("prometheus_client") is not None


def _make(host: str) -> Metrics:
    if are_counted():
        from wsgi_app.metrics.definitions import Metrics  # noqa: PLC0415 - see above

        return Metrics(host)
    from wsgi_app.metrics.nothing import NoMetrics  # noqa: PLC0415 - only then

    return cast("Metrics", NoMetrics())


def _make_process() -> ProcessMetrics:
    if are_counted():
        from wsgi_app.metrics.definitions import ProcessMetrics  # noqa: PLC0415 - see above

        return ProcessMetrics()
    from wsgi_app.metrics.nothing import NoMetrics  # noqa: PLC0415 - only then

    return cast("ProcessMetrics", NoMetrics())


def note_worker() -> None:
    """Count this process as a worker, once."""
    with _lock:
        known = os.getpid() in _noted_pids
        _noted_pids.add(os.getpid())
    if not known:
        process_metrics().worker_starts.inc()
        process_metrics().workers.set(1)
