"""What operations learn of one turn: its part of the metrics, its line, its spans."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.turn.failures import WORKER_LOST
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.events import (
    Cancelled,
    Done,
    Error,
    Event,
    Nested,
    Terminal,
    ToolCall,
    ToolResult,
    Usage,
)
from wsgi_app.logs import Fields, LogFormat, log_turn
from wsgi_app.metrics import metrics
from wsgi_app.store.base import Fence
from wsgi_app.tracing import Attributes, begin_span, end_span, inside

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from wsgi_app.metrics.definitions import Metrics

#: Calls of tools that have no result yet; an agent may never send it.
MAX_OPEN_CALLS: Final = 1024


class TurnReport:
    """Counts one turn, once it has begun, runs and has ended.

    Touched by the turn's thread, its tools' threads and the journal's; ``_lock`` guards all state.
    """

    def __init__(
        self, fence: Fence, request: TurnRequest, metrics: Metrics, log_format: LogFormat
    ) -> None:
        self._fence = fence
        self._request_id = request.request_id
        self._metrics = metrics
        self._log_format = log_format
        self._lock = threading.Lock()
        self._began_at = request.asked_at
        self._state = "new"
        self._called_at: dict[str, float] = {}
        self._span: Span | None = None
        self._tool_spans: dict[str, Span] = {}
        self._outcome: Attributes | None = None

    def wait(self) -> None:
        """The turn waits in its session's queue."""
        self._move("waiting")

    def run(self) -> None:
        """The turn runs."""
        if self._state == "waiting":
            self._began_at = time.monotonic()
        self._move("running")

    @contextmanager
    def traced(self) -> Iterator[None]:
        """The turn's span around its agent's code; it ends with the turn, which may be later."""
        key = self._fence.key
        span = begin_span(
            "invoke_agent",
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.conversation.id": key.session_id,
                "agent_host.tenant": key.tenant,
                "agent_host.turn_id": str(self._fence.turn),
                "agent_host.request_id": self._request_id,
            },
        )
        with self._lock:
            self._span = span
            outcome_before = self._outcome
        if outcome_before is not None:
            self._end_spans(outcome_before)
        with inside(span):
            yield

    def inside_turn(self) -> AbstractContextManager[Any]:
        """Make the turn's span the caller's current one, if it continues."""
        return inside(self._span)

    def inside_tool(self, call_id: str) -> AbstractContextManager[Any]:
        """Make the span of a tool's call the caller's current one."""
        return inside(self._tool_spans.get(call_id))

    def count_tool(self, event: ToolCall | ToolResult, parent: str) -> None:
        """A tool was called, or has answered; ``parent``: the call of the sub-agent that did."""
        now = time.monotonic()
        with self._lock:
            if isinstance(event, ToolCall):
                if len(self._called_at) < MAX_OPEN_CALLS:
                    self._called_at[event.call_id] = now
                    self._begin_tool_span(event, self._tool_spans.get(parent) or self._span)
                return
            called_at = self._called_at.pop(event.call_id, None)
            span = self._tool_spans.pop(event.call_id, None)
        end_span(span, error="tool_error" if event.status == "error" else "")
        self._metrics.tool_calls.labels(event.status).inc()
        if called_at is not None:
            self._metrics.tool_seconds.observe(now - called_at)

    def end(self, terminal: Terminal, log: EventLog, ended_at: float, usage: Usage) -> None:
        """The turn has ended; to be called once, before readers see it."""
        seconds: dict[str, float] = {}
        moments = {
            "seconds": ended_at if self._state == "running" else None,
            "first_event_seconds": log.first_event_at,
            "first_token_seconds": log.first_token_at,
        }
        for name, moment in moments.items():
            if moment is not None:
                seconds[name] = max(0.0, moment - self._began_at)
        self.leave()
        self._count_end(terminal, seconds, usage)
        self._count_events(terminal, log)
        fields: Fields = {
            **turn_fields(self._fence, terminal, self._request_id),
            **{name: round(value, 6) for name, value in seconds.items()},
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "events": log.last_seq + 1,
        }
        log_turn(fields, self._log_format)
        attributes: Attributes = {
            "agent_host.outcome": str(fields["outcome"]),
            "agent_host.reason": str(fields["reason"]),
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
        }
        with self._lock:
            self._outcome = attributes
        self._end_spans(attributes)

    def _begin_tool_span(self, event: ToolCall, within: Span | None) -> None:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.tool,
            "gen_ai.tool.call.id": event.call_id,
        }
        span = begin_span(f"execute_tool {event.tool}", attributes, within)
        if span is not None:
            self._tool_spans[event.call_id] = span

    def _end_spans(self, attributes: Attributes) -> None:
        with self._lock:
            span, self._span = self._span, None
            tools, self._tool_spans = list(self._tool_spans.values()), {}
        for one in tools:
            end_span(one, error="unanswered")
        failed = attributes["agent_host.outcome"] == "error"
        end_span(span, attributes, str(attributes["agent_host.reason"]) if failed else "")

    def _count_end(self, terminal: Terminal, seconds: dict[str, float], usage: Usage) -> None:
        made = self._metrics
        made.turns.labels(*outcome(terminal)).inc()
        histograms = {
            "seconds": made.turn_seconds,
            "first_event_seconds": made.first_event_seconds,
            "first_token_seconds": made.first_token_seconds,
        }
        for name, value in seconds.items():
            histograms[name].observe(value)
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count:
                made.tokens.labels(kind).inc(count)

    def _count_events(self, terminal: Terminal, log: EventLog) -> None:
        all_events = log.events()
        events: Counter[type[Event]] = Counter(map(type, all_events))
        if events.pop(Nested, 0):
            events.update(type(one.event) for one in all_events if isinstance(one, Nested))
        events[type(terminal)] += 1
        for kind, count in events.items():
            self._metrics.events.labels(kind.__struct_config__.tag).inc(count)
        with self._lock:
            unanswered, self._called_at = len(self._called_at), {}
        if unanswered:
            self._metrics.tool_calls.labels("unanswered").inc(unanswered)

    def leave(self) -> None:
        """The turn no longer runs or waits here."""
        self._move("gone")

    def _move(self, state: str) -> None:
        with self._lock:
            if self._state == "gone":
                return  # it has ended, though its thread goes on
            before, self._state = self._state, state
        made = self._metrics
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
    assert isinstance(terminal, Done)  # noqa: S101 - there is no fourth; for the type checker
    return "done", ""


def turn_fields(fence: Fence, terminal: Terminal, request_id: str) -> Fields:
    """The fields by which a log line names a turn and its end."""
    kind, reason = outcome(terminal)
    return {
        "outcome": kind,
        "reason": reason,
        "tenant": fence.key.tenant,
        "session_id": fence.key.session_id,
        "turn_id": str(fence.turn),
        "request_id": request_id,
    }


def report_lost(fences: Sequence[Fence], host: str, log_format: LogFormat) -> None:
    """Count and log turns that a dead worker had left, by the worker that ended them."""
    if fences:
        metrics(host).turns.labels(*outcome(WORKER_LOST)).inc(len(fences))
    for fence in fences:
        log_turn(turn_fields(fence, WORKER_LOST, ""), log_format, logging.WARNING)
