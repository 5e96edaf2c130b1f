"""The metrics, by name. None has a tenant, a session or a tool: there may be any number."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX: Final = "agent_host_"

_WAIT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WORK_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TRIP_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)


#: Whose a sample is: the host's namespace.
HOST_LABEL: Final = "host"


class Labelled:
    """A host's part of a counter that has further labels."""

    def __init__(self, counter: Counter, host: str) -> None:
        self._counter = counter
        self._host = host

    def labels(self, *values: object) -> Counter:
        """The counter of these labels' values."""
        return self._counter.labels(self._host, *values)


class Metrics:
    """One host's metrics in a process, in a registry of their own.

    Used by any thread: prometheus_client guards its values. A change costs a few microseconds,
    which is why none happens per token.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self.registry = CollectorRegistry()
        # -- turns
        self.turns = self._labelled("turns", "Turns that have ended.", "outcome", "reason")
        self.turns_running = self._gauge("turns_running", "Turns that run.")
        self.turns_waiting = self._gauge("turns_waiting", "Turns that wait for their place.")
        self.turn_seconds = self._histogram(
            "turn_seconds", "How long turns ran, questions included.", _WORK_SECONDS
        )
        self.first_event_seconds = self._histogram(
            "first_event_seconds", "From a turn's start to its first event.", _WAIT_SECONDS
        )
        self.first_token_seconds = self._histogram(
            "first_token_seconds", "From a turn's start to its first token.", _WAIT_SECONDS
        )
        self.tokens = self._labelled("tokens", "Tokens as agents report them.", "kind")
        self.events = self._labelled("events", "Events of turns that have ended.", "type")
        self.tool_calls = self._labelled("tool_calls", "Calls of tools.", "status")
        self.tool_seconds = self._histogram(
            "tool_seconds", "How long calls of tools took.", _WORK_SECONDS
        )
        self.cancel_seconds = self._histogram(
            "cancel_seconds", "From a cancel that found a turn to its end.", _WAIT_SECONDS
        )
        # -- readers
        self.streams = self._gauge("streams", "Readers now, parked ones too.")
        self.stream_slots = self._gauge("stream_slots", "Readers that may hold a thread.")
        self.disconnects = self._labelled(
            "disconnects", "Readers that went before their stream's end.", "cause"
        )
        self.resumes = self._counter("resumes", "Streams that went on behind a reader's last id.")
        self.refused = self._labelled("refused", "Requests that were refused.", "code")
        # -- the store
        self.journal_lag_seconds = self._gauge(
            "journal_lag_seconds", "How long the oldest unwritten events have waited.", "livemax"
        )
        self.journal_write_seconds = self._histogram(
            "journal_write_seconds", "How long rounds of the journal took to write.", _TRIP_SECONDS
        )
        self.journal_errors = self._counter(
            "journal_errors", "Writes of a turn's events that failed, to be tried again."
        )
        self.store_seconds = self._histogram(
            "store_seconds", "How long round trips to Redis took.", _TRIP_SECONDS
        )
        self.store_errors = self._counter("store_errors", "Calls that Redis did not answer.")

    def _counter(self, name: str, documentation: str) -> Counter:
        return self._labelled(name, documentation).labels()

    def _labelled(self, name: str, documentation: str, *labels: str) -> Labelled:
        names = (HOST_LABEL, *labels)
        return Labelled(
            Counter(PREFIX + name, documentation, names, registry=self.registry), self._host
        )

    def _gauge(self, name: str, documentation: str, mode: str = "livesum") -> Gauge:
        """A gauge whose ``mode`` says how the living workers' values make one."""
        return _gauge(name, documentation, (HOST_LABEL,), self.registry, mode).labels(self._host)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            PREFIX + name, documentation, (HOST_LABEL,), buckets=buckets, registry=self.registry
        ).labels(self._host)


class ProcessMetrics:
    """What is counted of a process, whichever hosts are in it; used as `Metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.workers = _gauge("workers", "Workers that live.", (), self.registry)
        self.worker_starts = Counter(
            PREFIX + "worker_starts", "Workers that have started.", registry=self.registry
        )


def _gauge(
    name: str,
    documentation: str,
    labels: tuple[str, ...],
    registry: CollectorRegistry,
    mode: str = "livesum",
) -> Gauge:
    return Gauge(
        PREFIX + name,
        documentation,
        labels,
        registry=registry,
        multiprocess_mode=mode,  # type: ignore[arg-type] # one of the library's literals
    )


def names_of(registry: CollectorRegistry) -> set[str]:
    """The names of a registry's metrics, without the endings of their samples."""
    return {metric.name for metric in registry.collect()}
