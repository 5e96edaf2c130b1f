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

from wsgi_app.metrics import metrics, process_metrics
from wsgi_app.metrics.definitions import HOST_LABEL, names_of
from wsgi_app.metrics.files import VARIABLE, reading

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
#: How long files may be half made.
PATIENCE_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.01


def are_shared() -> bool:
    """Whether the text is of all workers, not of this one alone."""
    return bool(values.ValueClass._multiprocess)  # noqa: SLF001 - what its own collector is chosen by


def metrics_text(host: str) -> bytes:
    """One host's metrics in Prometheus' text format, summed over the workers that share them.

    Other hosts' are left out, and a site's own in the same folder: they have pages of their own.
    """
    own, of_process = metrics(host).registry, process_metrics().registry
    if not are_shared():
        return generate_latest(own) + generate_latest(of_process)
    folder = Path(os.environ[VARIABLE])
    registry = CollectorRegistry()
    registry.register(_Ours(folder, host, names_of(own), names_of(of_process)))
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
    """What all processes have counted of one host, and of themselves."""

    def __init__(self, folder: Path, host: str, names: set[str], of_process: set[str]) -> None:
        self._folder = folder
        self._host = host
        self._names = names
        self._of_process = of_process

    def collect(self) -> Iterable[Metric]:
        for metric in MultiProcessCollector(None, path=str(self._folder)).collect():
            if metric.name in self._names:
                metric.samples = [
                    sample
                    for sample in metric.samples
                    if sample.labels.get(HOST_LABEL) == self._host
                ]
                yield metric
            elif metric.name in self._of_process:
                yield metric
