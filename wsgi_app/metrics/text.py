"""The text that GET /metrics answers."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Metric,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from wsgi_app.metrics import metrics
from wsgi_app.metrics.files import VARIABLE, reading

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
#: How long files may be half made.
PATIENCE_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.01


def are_shared() -> bool:
    """Whether the text is of all workers, not of this one alone."""
    return bool(values.ValueClass._multiprocess)  # noqa: SLF001 - what its own collector is chosen by


def metrics_text() -> bytes:
    """All metrics in Prometheus' text format, summed over the workers that share them.

    A site's own metrics in the same folder are left out: they have a page of their own.
    """
    if not are_shared():
        return generate_latest(metrics().registry)
    folder = Path(os.environ[VARIABLE])
    registry = CollectorRegistry()
    registry.register(_Ours(folder, metrics().names()))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with reading(folder):
                return generate_latest(registry)
        except (struct.error, FileNotFoundError):
            # A new worker has just made its file, and not yet written the head of it.
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


class _Ours(Collector):
    """The metrics of these names, of all processes."""

    def __init__(self, folder: Path, names: set[str]) -> None:
        self._folder = folder
        self._names = names

    def collect(self) -> Iterable[Metric]:
        everybodys = MultiProcessCollector(None, path=str(self._folder)).collect()
        return [metric for metric in everybodys if metric.name in self._names]
