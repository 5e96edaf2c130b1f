"""What stands for the metrics where prometheus_client is not installed: it counts nothing."""

from __future__ import annotations


class NoMetric:
    """Takes every change, and keeps none."""

    def labels(self, *_: str) -> NoMetric:
        """The metric with these labels' values."""
        return self

    def inc(self, _: float = 1) -> None:
        """Count up."""

    def dec(self, _: float = 1) -> None:
        """Count down."""

    def set(self, _: float) -> None:
        """Set a value."""

    def observe(self, _: float) -> None:
        """Take a measurement."""


class NoMetrics:
    """Has every metric."""

    def __init__(self) -> None:
        self._metric = NoMetric()

    def __getattr__(self, _: str) -> NoMetric:
        return self._metric
