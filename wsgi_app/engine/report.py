"""What operations learn of one turn: its part of the metrics."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Final

from wsgi_app.engine.log import EventLog
from wsgi_app.events import Cancelled, Done, Error, Terminal, ToolCall, ToolResult, Usage
from wsgi_app.metrics import metrics

#: Calls of tools whose results are waited for; agents may forget theirs.
MAX_OPEN_CALLS: Final = 1024


class TurnReport:
    """Counts one turn, once it has begun, runs and has ended.

    Touched by the turn's thread, its tools' threads and the journal's; ``_lock`` guards all state.
    """

    def __init__(self, asked_at: float) -> None:
        """``asked_at``: when the turn was asked for, on `time.monotonic`."""
        self._lock = threading.Lock()
        self._began_at = asked_at
        self._state = "new"
        self._called_at: dict[str, float] = {}

    def wait(self) -> None:
        """The turn waits for its place."""
        self._move("waiting")

    def run(self) -> None:
        """The turn runs."""
        if self._state == "waiting":
            self._began_at = time.monotonic()
        self._move("running")

    def count_tool(self, event: ToolCall | ToolResult) -> None:
        """A tool was called, or has answered."""
        now = time.monotonic()
        with self._lock:
            if isinstance(event, ToolCall):
                if len(self._called_at) < MAX_OPEN_CALLS:
                    self._called_at[event.call_id] = now
                return
            called_at = self._called_at.pop(event.call_id, None)
        metrics().tool_calls.labels(event.status).inc()
        if called_at is not None:
            metrics().tool_seconds.observe(now - called_at)

    def end(self, terminal: Terminal, log: EventLog, ended_at: float, usage: Usage) -> None:
        """The turn has ended; to be called once, before anybody learns of it."""
        ran = self._state == "running"
        self.leave()
        made = metrics()
        made.turns.labels(*outcome(terminal)).inc()
        if ran:
            made.turn_seconds.observe(max(0.0, ended_at - self._began_at))
        if log.first_event_at is not None:
            made.first_event_seconds.observe(max(0.0, log.first_event_at - self._began_at))
        if log.first_token_at is not None:
            made.first_token_seconds.observe(max(0.0, log.first_token_at - self._began_at))
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count:
                made.tokens.labels(kind).inc(count)
        events = Counter(type(entry.event) for entry in log.read(0, log.last_seq))
        events[type(terminal)] += 1
        for kind_of_event, count in events.items():
            made.events.labels(kind_of_event.__struct_config__.tag).inc(count)
        with self._lock:
            unanswered, self._called_at = len(self._called_at), {}
        if unanswered:
            made.tool_calls.labels("unanswered").inc(unanswered)

    def leave(self) -> None:
        """The turn runs and waits here no more."""
        self._move("gone")

    def _move(self, state: str) -> None:
        with self._lock:
            before, self._state = self._state, state
        made = metrics()
        gauges = {"running": made.turns_running, "waiting": made.turns_waiting}
        if before in gauges:
            gauges[before].dec()
        if state in gauges:
            gauges[state].inc()


def outcome(terminal: Terminal) -> tuple[str, str]:
    """How a turn has ended, and the error's code or the cancel's reason."""
    if isinstance(terminal, Error):
        return "error", terminal.code
    if isinstance(terminal, Cancelled):
        return "cancelled", terminal.reason
    assert isinstance(terminal, Done)  # noqa: S101 - there is no fourth; tells the type checker
    return "done", ""


def count_lost(turns: int) -> None:
    """Count turns that a dead worker had left, by whoever has ended them."""
    if turns:
        metrics().turns.labels("error", "worker_lost").inc(turns)
