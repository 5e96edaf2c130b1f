"""What a stream sends, whoever drives it: a request's thread, or the io loop."""

from __future__ import annotations

import heapq
import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsgi_app.delivery.detached.parked import LAST_CHUNK, ParkedStream
from wsgi_app.delivery.generator import stream_frames
from wsgi_app.delivery.pump import End, Pump, Send, Wait
from wsgi_app.delivery.reader import ReaderGone
from wsgi_app.errors import RequestError
from wsgi_app.events import (
    AnyEvent,
    Done,
    EventId,
    InputRequest,
    NumberedEvent,
    Status,
    Thinking,
    Token,
    encode_event,
)
from wsgi_app.frames.sse import OPENING

#: Events come at whole seconds, and no sum of these is one: nothing is due when an event comes.
KEEPALIVE_SECONDS = 2.53
BATCH_SECONDS = 0.37
KEEP_ALIVE = b"~"
#: How often the table looks at a stream: too seldom for batches.
LOOK_SECONDS = 0.25


def encode(numbered: NumberedEvent) -> bytes:
    """Show an event's id and all that is in it."""
    return b"[%b %b]" % (str(numbered.id).encode(), numbered.json)


def timed(clock: Callable[[], float]) -> Callable[[NumberedEvent], bytes]:
    """Show when an event is sent too."""
    return lambda numbered: b"%.1f%b" % (clock(), encode(numbered))


class Story(NamedTuple):
    """When which events come, and when and how they end."""

    #: Seconds before each, and what it is.
    events: list[tuple[int, AnyEvent]]
    #: Seconds behind the last one.
    end_after: int
    end: str

    def moments(self) -> list[tuple[float, NumberedEvent | None]]:
        """What comes when; None is the end, where that is no event."""
        now = 0
        found: list[tuple[float, NumberedEvent | None]] = []
        for seq, (pause, event) in enumerate(self.events, 1):
            now += pause
            found.append((float(now), numbered(seq, event)))
        # A client that goes in the moment of an event may have got it, or not.
        last = float(now + (self.end_after if self.end == "done" else max(1, self.end_after)))
        done = numbered(len(self.events) + 1, Done("r", "s", "1"))
        return [*found, (last, done if self.end == "done" else None)]


def numbered(seq: int, event: AnyEvent) -> NumberedEvent:
    """An event of turn 1."""
    return NumberedEvent(EventId(1, seq), event, encode_event(event))


EVENTS = st.sampled_from(
    [Token("a"), Token("b"), Thinking("c"), Status("d"), InputRequest("q", "?")]
)
STORIES = st.builds(
    Story,
    st.lists(st.tuples(st.integers(0, 6), EVENTS), max_size=12),
    st.integers(0, 6),
    st.sampled_from(["done", "hang_up", "refused"]),
)


class FakeReader:
    """A reader of a story, on a clock that it moves itself."""

    def __init__(self, story: Story) -> None:
        self.now = 0.0
        self.gone = False
        self.ended = False
        self.is_cut = False
        self._story = story
        self._moments = story.moments()

    def read(self, timeout_seconds: float) -> list[NumberedEvent]:
        """Return what comes next, if it comes in time."""
        until = self.now + timeout_seconds
        if self._moments[0][0] > until:
            self.now = until
            return []
        self.now = max(self.now, self._moments[0][0])
        found: list[NumberedEvent] = []
        while self._moments and self._moments[0][0] <= self.now:
            event = self._moments[0][1]
            if event is None:
                if found:
                    return found
                raise_end(self._story)
            else:
                found.append(event)
            self._moments.pop(0)
        self.ended = not self._moments
        return found

    def begin_write(self) -> None:
        """Nothing takes long here."""

    end_write = close = begin_write

    def cut(self) -> None:
        """Note it."""
        self.is_cut = True


def raise_end(story: Story) -> None:
    """End like this where there is no event."""
    if story.end == "hang_up":
        raise ReaderGone
    raise RequestError("draining", "This worker is about to leave; try again.")


def in_thread(story: Story, batch_seconds: float) -> tuple[bytes, bool]:
    """What a request's thread sends, and whether it ends whole."""
    reader = FakeReader(story)
    frames = stream_frames(
        reader,  # type: ignore[arg-type] # it has what is called
        timed(lambda: reader.now),
        start=lambda: None,
        keepalive_seconds=KEEPALIVE_SECONDS,
        keep_alive=KEEP_ALIVE,
        batch_seconds=batch_seconds,
        clock=lambda: reader.now,
    )
    body = b"".join(frames)
    assert body.startswith(OPENING)
    return body[len(OPENING) :], not reader.is_cut


class FakeLoop:
    """Timers and calls, in the order of a clock that moves when it runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Timer]] = []

    def call_at(self, when: float, call: Callable[..., None], *arguments: Any) -> Timer:
        """Call it then."""
        timer = Timer(when, lambda: call(*arguments))
        heapq.heappush(self._due, (when, next(self._numbers), timer))
        return timer

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call it behind what is due now."""
        self.call_at(self.now, call, *arguments)

    def run(self) -> None:
        """Call what is due, until nothing more is."""
        while self._due:
            self.now, _, timer = heapq.heappop(self._due)
            timer.call()


class Timer:
    """A call that may be cancelled."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self._when = when
        self.call = call

    def when(self) -> float:
        """When it comes."""
        return self._when

    def cancel(self) -> None:
        """Do nothing then."""
        self.call = lambda: None


class FakeParking:
    """The table of one stream, which is its connection, its reader and its feed too."""

    keepalive_seconds = KEEPALIVE_SECONDS
    write_timeout_seconds = 1e9
    live = True

    def __init__(self, story: Story, client: socket.socket) -> None:
        self.socket = client
        self.loop = FakeLoop()
        self.ended = False
        self.closed = False
        self._story = story
        self._there: list[NumberedEvent] = []
        self._refuses = False

    def begin(self, stream: ParkedStream) -> None:
        """Have the story happen to it, and wake it for nothing each second."""
        self.loop.call_at(0.0, stream.enter)
        moments = self._story.moments()
        for second in range(int(moments[-1][0])):
            self.loop.call_at(float(second), stream.advance)
        for when, event in moments:
            self.loop.call_at(when, self._happen, stream, event)
        self.loop.call_at(LOOK_SECONDS - 0.01, self._look, stream)

    def _happen(self, stream: ParkedStream, event: NumberedEvent | None) -> None:
        if event is not None:
            self._there.append(event)
        elif self._story.end == "hang_up":
            stream.hang_up()
            return
        else:
            self._refuses = True
        # Behind what comes at the same time, as the table's own wake-ups are.
        self.loop.call_at(self.loop.now, stream.advance)

    def _look(self, stream: ParkedStream) -> None:
        if not self.closed:
            stream.look(self.loop.now)
            self.loop.call_at(self.loop.now + LOOK_SECONDS, self._look, stream)

    def read_live(self) -> list[NumberedEvent]:
        """Return what is there."""
        found, self._there = self._there, []
        if self._refuses and not found:
            raise_end(self._story)
        self.ended = bool(found) and isinstance(found[-1].event, Done)
        return found

    def now(self) -> float:
        """The loop's time."""
        return self.loop.now

    def park(self, wake: Callable[[], None]) -> FakeParking:
        """The feed, to which a turn adds something in the same instant."""
        wake()
        return self

    def call_when_woken(self, callback: Callable[[], None]) -> None:
        """Nothing wakes it any more."""

    def call_beside(self, call: Callable[[], None]) -> None:
        """Call it at once: what it makes comes back by the loop."""
        call()

    def remove(self, _stream: object) -> None:
        """It is over."""
        self.closed = True

    def note_gone(self, *, timed_out: bool) -> None:
        """Not for slowness."""
        assert not timed_out

    def close(self) -> None:
        """Nothing is held."""

    count_out = close

    def log_access(self, _bytes: int) -> None:
        """Nothing is logged."""


def on_loop(story: Story, batch_seconds: float) -> tuple[bytes, bool]:
    """What the io loop sends, and whether it ends whole."""
    client, other = socket.socketpair()
    client.settimeout(0)
    with closing(other):
        parking: Any = FakeParking(story, client)
        stream = ParkedStream(
            parking,
            parking,
            parking,
            timed(parking.now),
            head=b"",
            opening=b"",
            keep_alive=KEEP_ALIVE,
            batch_seconds=batch_seconds,
            closed=parking.close,
            closes_at_once=True,
        )
        parking.begin(stream)
        parking.loop.run()
        sent = b"".join(iter(lambda: other.recv(65_536), b""))
    return b"".join(chunks(sent.removesuffix(LAST_CHUNK))), sent.endswith(LAST_CHUNK)


def chunks(sent: bytes) -> Iterator[bytes]:
    """Take HTTP's chunks apart."""
    while sent:
        size, _, rest = sent.partition(b"\r\n")
        yield rest[: int(size, 16)]
        sent = rest[int(size, 16) + 2 :]


@given(STORIES, st.sampled_from([0.0, BATCH_SECONDS]))
@example(Story([(2, Token("a"))], 1, "done"), BATCH_SECONDS)  # a batch ends before a comment is due
def test_both_drivers_send_the_same(story: Story, batch_seconds: float) -> None:
    """Whatever comes when, a thread and the loop send the same frames, and end the same way."""
    assert in_thread(story, batch_seconds) == on_loop(story, batch_seconds)


@given(STORIES)
def test_every_event_is_sent_once_in_order(story: Story) -> None:
    """Without batches each event has its frame, once and in order, until the reader's end."""
    body, is_whole = in_thread(story, 0.0)
    moments = [(when, event) for when, event in story.moments() if event is not None]
    expected = [timed(lambda when=when: when)(event) for when, event in moments]  # type: ignore[misc] # mypy cannot infer a lambda's defaults
    assert body.replace(KEEP_ALIVE, b"") == b"".join(expected)
    assert is_whole == (story.end == "done")


@given(st.lists(st.floats(0.01, 9), max_size=20))
def test_comments_come_in_silence_alone(pauses: list[float]) -> None:
    """Nothing but an event or the keep-alive's time ends a wait, and an event begins it again."""
    pump = Pump(encode, keep_alive=KEEP_ALIVE, keepalive_seconds=KEEPALIVE_SECONDS)
    now = 0.0
    pump.sent(now)
    for seq, pause in enumerate(pauses, 1):
        event_at = now + pause
        while isinstance(step := pump.step(now, ended=False), Wait) and step.until < event_at:
            assert step.until == now + KEEPALIVE_SECONDS
            now = step.until
            assert sent_by(pump, now) == KEEP_ALIVE
        now = event_at
        pump.take([numbered(seq, Token("a"))])
        assert sent_by(pump, now) == encode(numbered(seq, Token("a")))
    assert isinstance(pump.step(now, ended=True), End)


def sent_by(pump: Pump, now: float) -> bytes:
    """What is to be sent now."""
    step = pump.step(now, ended=False)
    assert isinstance(step, Send)
    frames = b"".join(step.frames)
    pump.sent(now)
    return frames


@pytest.mark.parametrize("last", [Status("tool"), InputRequest("q", "?")])
def test_only_text_waits_for_a_batch(last: AnyEvent) -> None:
    """A batch waits while there is text alone, and then goes out at once."""
    pump = Pump(encode, keep_alive=KEEP_ALIVE, keepalive_seconds=9, batch_seconds=BATCH_SECONDS)
    pump.take([numbered(1, Token("a"))])
    assert pump.step(1.0, ended=False) == Wait(1.0 + BATCH_SECONDS)
    pump.take([numbered(2, Token("b"))])
    assert pump.step(1.1, ended=False) == Wait(1.0 + BATCH_SECONDS)
    pump.take([numbered(3, last)])
    assert sent_by(pump, 1.2) == encode(numbered(2, Token("ab"))) + encode(numbered(3, last))
