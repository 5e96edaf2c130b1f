"""A turn's steps as its records hold them, and what of its events still counts behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import msgspec
from msgspec import UNSET, Struct

from wsgi_app.events import (
    AnyEvent,
    EventId,
    Nested,
    NumberedEvent,
    Steered,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
    decode_event,
)
from wsgi_app.store.resumes import ATTEMPT_SEQS

if TYPE_CHECKING:
    from typing_extensions import TypeGuard  # typing's own is missing in Python 3.9


class StepRecord(Struct, frozen=True):
    """What is written once a step's calls are known, before they run."""

    #: How many events there were; None where the agent says everything again.
    events: Optional[int]
    #: The ids of the calls that run from here on.
    calls: list[str]
    #: What the agent continues from.
    data: Any
    usage: Usage
    kept: dict[str, Any]
    #: How long the turn's time has stood still so far.
    paused_seconds: float


class RecordedStep(NamedTuple):
    """A step that was recorded, and the results of its calls that were."""

    data: Any
    results: dict[str, ToolResult]
    #: What the agent took of what was said to the turn, before its next step.
    steered: Sequence[str] = ()


def decode_records(records: Sequence[bytes]) -> list[StepRecord]:
    """Read what was recorded; raises msgspec.MsgspecError for what another version wrote."""
    return [msgspec.json.decode(record, type=StepRecord) for record in records]


def number_events(turn: int, events: Iterable[bytes]) -> list[NumberedEvent]:
    """Give a journal's events their ids: those of each attempt begin with its `Withdrawn`."""
    numbered: list[NumberedEvent] = []
    seq = attempts = 0
    for json in events:
        event = decode_event(json)
        if isinstance(event, Withdrawn):
            attempts += 1
            seq = attempts * ATTEMPT_SEQS
        seq += 1
        numbered.append(NumberedEvent(EventId(turn, seq), event, json))
    return numbered


def counted(events: Iterable[NumberedEvent]) -> list[AnyEvent]:
    """The events that count: what was withdrawn is left out."""
    kept: list[NumberedEvent] = []
    for numbered in events:
        if isinstance(numbered.event, Withdrawn):
            after = EventId.parse(numbered.event.after)
            while kept and kept[-1].id.seq > after.seq:
                kept.pop()
            calls = numbered.event.calls
            if calls is not UNSET:
                kept = [one for one in kept if not _is_below(one.event, calls)]
        else:
            kept.append(numbered)
    return [numbered.event for numbered in kept]


def recorded_steps(
    records: Sequence[StepRecord], events: Sequence[NumberedEvent]
) -> list[RecordedStep]:
    """The steps with their results; a call's is between its step's record and the next one."""
    steps = []
    ends = [record.events for record in records[1:]]
    taken = {one.steer_id for one in counted(events) if _is_taken(one)}
    for record, end in zip(records, [*ends, None]):
        found = {
            numbered.event.call_id: numbered.event
            for numbered in events[record.events or 0 : end]
            if isinstance(numbered.event, ToolResult) and numbered.event.call_id in record.calls
        }
        steered = [
            numbered.event.content
            for numbered in events[record.events or 0 : end]
            if _is_taken(numbered.event) and numbered.event.steer_id in taken
        ]
        steps.append(RecordedStep(record.data, found, steered))
    return steps


def last_that_counts(
    turn: int, records: Sequence[StepRecord], events: Sequence[NumberedEvent]
) -> EventId:
    """The id up to which the next attempt continues: the last record's, or its last result's."""
    last = records[-1] if records else None
    if last is None or last.events is None:
        return EventId(turn, 0)
    counted_events = last.events
    for at, numbered in enumerate(events[last.events :], last.events + 1):
        if isinstance(numbered.event, ToolResult) and numbered.event.call_id in last.calls:
            counted_events = at
    return events[counted_events - 1].id if counted_events else EventId(turn, 0)


def withdraw(events: Sequence[NumberedEvent], after: EventId) -> Withdrawn:
    """Take back what is behind an event, and what sub-agents said for calls that run again."""
    plain = Withdrawn(str(after))
    counting = counted([*events, NumberedEvent(after, plain, b"")])
    running = unanswered_calls(counting)
    parents = dict.fromkeys(one.parent for one in counting if isinstance(one, Nested))
    # Ids of the calls that a sub-agent makes begin with its own call's.
    calls = [one for one in parents if any(f"{one}.".startswith(f"{call}.") for call in running)]
    return Withdrawn(str(after), calls) if calls else plain


def _is_below(event: AnyEvent, calls: Sequence[str]) -> bool:
    return isinstance(event, Nested) and event.parent in calls


def waiting_steers(events: Iterable[AnyEvent]) -> list[Steered]:
    """Steers that no agent has taken."""
    waiting: dict[str, Steered] = {}
    for event in events:
        if isinstance(event, Steered) and event.status == "waiting":
            waiting[event.steer_id] = event
        elif isinstance(event, Steered):
            waiting.pop(event.steer_id, None)
    return list(waiting.values())


def steers_to_repeat(events: Sequence[NumberedEvent], after: EventId) -> list[Steered]:
    """Steers that are withdrawn with all that is behind an event, and still count."""
    withdrawn = NumberedEvent(after, Withdrawn(str(after)), b"")
    counting = counted([*events, withdrawn])
    taken = {one.steer_id for one in counting if _is_taken(one)}
    waiting = {one.steer_id for one in waiting_steers(counting)}
    steered = [one.event for one in events if isinstance(one.event, Steered)]
    again = {one.steer_id: one.content for one in steered if one.steer_id not in taken | waiting}
    return [Steered(steer_id, content) for steer_id, content in again.items()]


def _is_taken(event: AnyEvent) -> TypeGuard[Steered]:
    return isinstance(event, Steered) and event.status == "taken"


def unanswered_calls(events: Iterable[AnyEvent]) -> dict[str, ToolCall]:
    """The calls that run, by their ids."""
    running: dict[str, ToolCall] = {}
    for event in events:
        if isinstance(event, ToolCall):
            running[event.call_id] = event
        elif isinstance(event, ToolResult):
            running.pop(event.call_id, None)
    return running
