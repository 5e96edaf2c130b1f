"""Readers that wait for one JSON answer: long polls, and whole turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from wsgi_app.delivery.reader import Reader
from wsgi_app.errors import RequestError
from wsgi_app.events import Cancelled, Done, Error, Gap, InputRequest, NumberedEvent

#: The most events in one poll's answer; the next poll brings the rest.
MAX_EVENTS_PER_POLL = 1000
#: And of their JSON, but for a first one that is larger.
MAX_BYTES_PER_POLL = 262_144
#: How long a wait sleeps at the most before it looks whether the client is still there.
WAIT_SECONDS = 15.0


def poll_events(reader: Reader, wait_seconds: float) -> tuple[list[NumberedEvent], bool]:
    """Take what is there; only if there is nothing, wait for something.

    Also returns whether more may come. Raises ReaderGone and StoreUnavailable.
    """
    events = reader.read(wait_seconds)
    while events and not reader.ended and len(events) < MAX_EVENTS_PER_POLL:
        more = reader.read(0)
        if not more:
            break
        events += more
        if sum(len(numbered.json) for numbered in events) > MAX_BYTES_PER_POLL:
            break
    kept = _within(events, MAX_BYTES_PER_POLL)
    return kept, len(kept) < len(events) or not reader.ended


def _within(events: list[NumberedEvent], max_bytes: int) -> list[NumberedEvent]:
    """The first events within a number of bytes; at least one."""
    sizes = itertools.accumulate(len(numbered.json) for numbered in events)
    return events[: max(1, sum(size <= max_bytes for size in sizes))]


def await_answer(
    reader: Reader, is_asked: Callable[[str], bool], patience_seconds: float
) -> Done | Error | Cancelled | InputRequest | None:
    """Wait for the turn's end, or for a question; None if the turn is no longer known.

    A question counts if nothing has followed it for ``patience_seconds`` and ``is_asked`` says of
    its id that it still waits: one that comes with a replay may have been answered. Raises
    ReaderGone, StoreUnavailable, and RequestError ``not_found`` for what is not kept.
    """
    question: InputRequest | None = None
    while not reader.ended:
        events = reader.read(patience_seconds if question else WAIT_SECONDS)
        if question and not events and is_asked(question.request_id):
            return question
        question = None
        for numbered in events:
            if isinstance(numbered.event, (Done, Error, Cancelled)):
                return numbered.event
            if isinstance(numbered.event, Gap):
                raise RequestError("not_found", "The turn's events are no longer kept.")
        if events and isinstance(events[-1].event, InputRequest):
            question = events[-1].event
    return None
