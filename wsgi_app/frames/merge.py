"""Merging of text that has piled up for a slow reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs

from wsgi_app.events import (
    AnyEvent,
    MarkedEvent,
    Nested,
    NumberedEvent,
    Thinking,
    Token,
    encode_event,
)

#: The most text in one merged event, so that a frame stays one that clients take in their stride.
MAX_MERGED_CHARS = 16_384


#: A backlog above this is a slow reader's, and its text is merged. A reader that keeps up gets
#: every event in a frame of its own.
MERGE_ABOVE_EVENTS = 64


def merge_backlog(events: list[NumberedEvent]) -> list[NumberedEvent]:
    """Merge the text of a slow reader's backlog; other events stay as they are."""
    return list(merge_text(events)) if len(events) > MERGE_ABOVE_EVENTS else events


def merge_text(events: Iterable[NumberedEvent]) -> Iterator[NumberedEvent]:
    """Join neighbouring tokens, and neighbouring thinking, each under the last id of what it joins.

    Nothing is dropped, and no other event is touched.
    """
    run: list[NumberedEvent] = []
    run_chars = 0
    for numbered in events:
        event = numbered.event
        text = event.content if isinstance(event, (Token, Thinking)) else text_of(event)
        if text is None:
            yield from _join(run)
            run, run_chars = [], 0
            yield numbered
            continue
        if run and (not _same_text(run[0], numbered) or run_chars > MAX_MERGED_CHARS):
            yield from _join(run)
            run, run_chars = [], 0
        run.append(numbered)
        run_chars += len(text)
    yield from _join(run)


def _join(run: list[NumberedEvent]) -> Iterator[NumberedEvent]:
    if len(run) < 2:  # noqa: PLR2004 - one event needs no joining
        yield from run
        return
    text = "".join(text_of(numbered.event) or "" for numbered in run)
    merged = _with_text(run[0].event, text)
    yield structs.replace(run[-1], event=merged, json=encode_event(merged))


def _with_text(event: AnyEvent, text: str) -> AnyEvent:
    if isinstance(event, Nested):
        within = Token(text) if type(event.event) is Token else Thinking(text)
        return structs.replace(event, event=within)
    return Token(text) if type(event) is Token else Thinking(text)


def text_of(event: AnyEvent) -> str | None:
    """The text of an event that may be joined with its neighbours, a sub-agent's too."""
    if isinstance(event, (Token, Thinking)):
        return event.content
    return text_of(event.event) if isinstance(event, Nested) else None


def _same_text(one: NumberedEvent, other: NumberedEvent) -> bool:
    """Whether both are pieces of the same text; in a stream of many sessions each names its own.

    What has a run's mark stands alone.
    """
    if isinstance(one, MarkedEvent):
        return False
    sessions = [getattr(numbered, "session_id", "") for numbered in (one, other)]
    is_same = type(one.event) is type(other.event) and sessions[0] == sessions[1]
    return is_same and (type(one.event) is not Nested or _teller(one) == _teller(other))


def _teller(numbered: NumberedEvent) -> object:
    """The sub-agent whose event it is, and of which kind it is."""
    event = numbered.event
    return (event.parent, event.agent, type(event.event)) if isinstance(event, Nested) else None
