"""Streams that end at a question, since their client answers with its next request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from wsgi_app.delivery.feed import Feed
from wsgi_app.events import (
    AnyEvent,
    EventId,
    InputRequest,
    NumberedEvent,
    ToolCall,
    ToolResult,
    decode_event,
    encode_json,
)
from wsgi_app.store.base import SessionKey
from wsgi_app.web.mount import Mount
from wsgi_app.web.turns import OpenTurn, attach_turn
from wsgi_app.wires.shared.asked import AskedQuestion

T = TypeVar("T")

_PAGE_EVENTS = 500
#: How long a question may be under way in its worker's journal.
JOURNAL_SECONDS: Final = 1.0


class QuestionStream(Protocol):
    """A wire's encoder that knows of the question that waits."""

    @property
    def question(self) -> AskedQuestion | None:
        """The question that the last event asked, or that still waits."""

    def encode(self, numbered: NumberedEvent) -> bytes:
        """The frames of the next event."""

    def end_for_answer(self) -> bytes:
        """The frames that end the stream at the question."""


class Finishing(Protocol):
    """What is to end at the question; a `Reader`, or what stands for one."""

    def finish(self) -> None:
        """Read no more."""


class UntilQuestion:
    """Ends the reader at a question that waits; used by one thread.

    ``answered`` is the id of the one question that does not end it.
    """

    def __init__(
        self,
        mount: Mount,
        key: SessionKey,
        stream: QuestionStream,
        reader: Finishing,
        answered: str | None = None,
    ) -> None:
        self._mount = mount
        self._key = key
        self._stream = stream
        self._reader = reader
        self._answered = answered
        self._ended = False

    def __call__(self, numbered: NumberedEvent) -> bytes:
        """Make an event's frames, and those of the end where it asks."""
        if self._ended:
            return b""
        frames = self._stream.encode(numbered)
        asked = self._stream.question
        if not isinstance(numbered.event, InputRequest) or asked is None:
            return frames
        if asked.request_id == self._answered or not self._waits(asked, numbered.id):
            return frames
        self._ended = True
        self._reader.finish()
        return frames + self._stream.end_for_answer()

    def _waits(self, asked: AskedQuestion, event_id: EventId) -> bool:
        """Whether a question still waits; of another worker's turn as far as its journal shows."""
        run = self._mount.runner.find(self._key, event_id.turn)
        if run is not None:
            return run.questions.is_pending(asked.request_id)
        ahead = asked.copy()
        later = _stored_after(self._mount, self._key, event_id)
        return not any(ahead.closed_by(numbered.event) for numbered in later)


def events_so_far(mount: Mount, key: SessionKey, turn: int) -> Iterator[NumberedEvent]:
    """What a turn has sent until now; of another worker's turn what its journal shows.

    Not by a feed: who looks is none of the turn's readers.
    """
    run = mount.runner.find(key, turn)
    if run is not None:
        yield from run.log.read(0, run.log.last_seq)
        return
    yield from _stored_after(mount, key, EventId(turn, 0))


def waiting_prompt(mount: Mount, key: SessionKey, turn: int) -> str | None:
    """What a turn asks its user and waits for, as far as this worker can see."""
    found = waiting_question(mount, key, turn)
    return None if found is None else found[1].prompt


def waiting_question(
    mount: Mount, key: SessionKey, turn: int
) -> tuple[EventId, InputRequest] | None:
    """The question that a turn waits at and its place, as far as this worker can see."""
    events = list(events_so_far(mount, key, turn))
    found = open_question(one.event for one in events)
    if found is None or not may_wait(mount, key, turn, found.asked):
        return None
    return events[found.offset].id, found.event


class OpenQuestion(NamedTuple):
    """A question that no later event has closed, and which of the events it is."""

    offset: int
    event: InputRequest
    asked: AskedQuestion


def open_question(events: Iterable[AnyEvent]) -> OpenQuestion | None:
    """The question that a turn's events leave open."""
    found: OpenQuestion | None = None
    calls: set[str] = set()
    for offset, event in enumerate(events):
        if found is not None and found.asked.closed_by(event):
            found = None
        if isinstance(event, ToolCall):
            calls.add(event.call_id)
        elif isinstance(event, ToolResult):
            calls.discard(event.call_id)
        elif isinstance(event, InputRequest):
            found = OpenQuestion(offset, event, AskedQuestion(event.request_id, calls))
    return found


def answer_question(  # noqa: PLR0913 - which question, what answer, and how it is read on
    mount: Mount, key: SessionKey, event_id: EventId, request_id: str, value: Any, *, streams: bool
) -> OpenTurn:
    """Answer the question at this place, and read its turn from there on; raises RequestError."""
    # Attached first: the turn must not be without a reader once it continues.
    opened = attach_turn(mount, key, event_id.turn, event_id.seq, streams=streams)
    try:
        mount.store.post_input(key, request_id, encode_json(value))
    except BaseException:
        opened.close()
        raise
    return opened


def awaited_question(
    mount: Mount, key: SessionKey, turn: int
) -> tuple[EventId, InputRequest] | None:
    """The same, though another worker's journal may be behind what its client has seen."""
    return find_behind(mount, key, turn, lambda: waiting_question(mount, key, turn))


def find_behind(mount: Mount, key: SessionKey, turn: int, look: Callable[[], T | None]) -> T | None:
    """What ``look`` finds among a turn's questions, or will once the journal has the newest one.

    For a client that knows of it from another worker.
    """
    found = look()
    if found is not None or mount.runner.find(key, turn) is not None:
        return found
    feed = Feed(mount.runner, key, EventId(turn, 0), turn)
    try:
        with mount.permit(key) as is_patient:
            deadline = time.monotonic() + (JOURNAL_SECONDS if is_patient else 0)
            while found is None and (left := deadline - time.monotonic()) > 0 and not feed.ended:
                events = feed.read(left)
                if any(isinstance(one.event, InputRequest) for one in events):
                    found = look()
    finally:
        feed.close()
    return found


def may_wait(mount: Mount, key: SessionKey, turn: int, asked: AskedQuestion) -> bool:
    """Whether a question waits that no event has closed; only its turn's worker is certain."""
    run = mount.runner.find(key, turn)
    return run is None or run.questions.is_pending(asked.request_id)


def _stored_after(mount: Mount, key: SessionKey, after: EventId) -> Iterator[NumberedEvent]:
    """The rest of a turn as far as its journal shows."""
    while True:
        found = mount.store.read(key, after, _PAGE_EVENTS)
        rows = [] if found is None else [row for row in found.events if row[0].turn == after.turn]
        for event_id, json in rows:
            yield NumberedEvent(event_id, decode_event(json), json)
        if not rows:
            return
        after = rows[-1][0]
