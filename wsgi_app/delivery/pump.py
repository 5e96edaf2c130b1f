"""What a stream sends next, and until when it waits: without a socket, a thread or a clock.

`generator.stream_frames` drives it in a request's thread, `detached.parked` on the io loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Union

from wsgi_app.events import (
    Cancelled,
    Done,
    Error,
    InputRequest,
    NumberedEvent,
)
from wsgi_app.frames.merge import MERGE_ABOVE_EVENTS, merge_text, text_of

Encoder = Callable[[NumberedEvent], bytes]


class Send(NamedTuple):
    """Write these frames, and then call `Pump.sent`."""

    frames: Iterator[bytes]
    #: Whether to make them may take the store: a wire that ends at questions asks for this one.
    may_block: bool = False


class Wait(NamedTuple):
    """Nothing is due before this moment, unless events come."""

    until: float


class End(NamedTuple):
    """The body is whole."""


Step = Union[Send, Wait, End]
_END: Final = End()


class Pump:
    """One stream's frames, in order: events, merged as they have piled up, and comments in silence.

    Used by one thread at a time; ``now`` is a time of any clock that never goes back.
    """

    def __init__(
        self,
        encode: Encoder,
        *,
        keep_alive: bytes,
        keepalive_seconds: float,
        batch_seconds: float = 0.0,
        sent_at: float = -math.inf,
    ) -> None:
        """``batch_seconds``: how long text waits for more; ``sent_at``: when the opening went."""
        self._encode = encode
        self._keep_alive = keep_alive
        self._keepalive_seconds = keepalive_seconds
        self._batch_seconds = batch_seconds
        #: The body ends then.
        self.closes_at = math.inf
        self._silent_since = sent_at
        self._events: list[NumberedEvent] = []
        #: When what waits for more goes out in any case.
        self._window_ends_at: float | None = None

    def take(self, events: Sequence[NumberedEvent]) -> None:
        """Add events to send."""
        self._events += events

    def sent(self, now: float) -> None:
        """Note that something was written."""
        self._silent_since = now

    def step(self, now: float, *, ended: bool) -> Step:
        """What to do next; ``ended``: no more events will come."""
        if self._events:
            if self._batch_seconds and not ended and self._may_grow(now):
                return Wait(self._window_ends_at or now)
            return self._send_events()
        if ended or now >= self.closes_at:
            return _END
        due = self._silent_since + self._keepalive_seconds
        if now >= due:
            return Send(iter((self._keep_alive,)))
        return Wait(min(due, self.closes_at))

    def _may_grow(self, now: float) -> bool:
        """Whether the window of a batch is open; opens it."""
        if not _can_wait(self._events):
            return False
        if self._window_ends_at is None:
            self._window_ends_at = now + self._batch_seconds
        return now < self._window_ends_at

    def _send_events(self) -> Send:
        events, self._events, self._window_ends_at = self._events, [], None
        merged = events
        if self._batch_seconds or len(events) > MERGE_ABOVE_EVENTS:
            merged = list(merge_text(events))
        asks = False
        for numbered in events:
            asks = asks or isinstance(numbered.event, InputRequest)
        return Send(map(self._encode, merged), asks)


def _can_wait(events: Sequence[NumberedEvent]) -> bool:
    """Only text waits for more; tools, questions and ends go out at once."""
    return text_of(events[-1].event) is not None and not any(
        isinstance(numbered.event, (Done, Error, Cancelled)) for numbered in events
    )
