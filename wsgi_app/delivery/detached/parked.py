"""One stream that the io loop writes: it does what the generator does, without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol, TypeVar

from wsgi_app.delivery.detached.handover import Connection
from wsgi_app.delivery.generator import MAX_CHUNK_BYTES
from wsgi_app.delivery.pump import Encoder, End, Pump, Send
from wsgi_app.delivery.reader import Reader
from wsgi_app.engine.runtime.callbacks import nothing
from wsgi_app.engine.runtime.sockets import receive_at_once, send_at_once
from wsgi_app.errors import RequestError
from wsgi_app.events import NumberedEvent

log = logging.getLogger("wsgi_app")

T = TypeVar("T")

#: How often the store is asked when no signal says that there is more.
LOOK_SECONDS: Final = 1.0
#: As long as a batch waits for more.
TIMER_SECONDS: Final = 1.0
#: RFC 9112, section 7.1: the chunk that ends a body. Without it the client sees a cut.
LAST_CHUNK: Final = b"0\r\n\r\n"
#: What a client may have sent behind its request; unread, it would make the close a reset.
MAX_UNREAD_BYTES: Final = 65_536


class StreamLoop(Protocol):
    """What a stream needs of the loop that writes all streams of its host, see `Parking`."""

    keepalive_seconds: float
    write_timeout_seconds: float

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    def now(self) -> float: ...
    def wake(self, stream: ParkedStream) -> None: ...
    def await_room(self, stream: ParkedStream, *, waits: bool) -> None: ...
    def call_beside(self, call: Callable[[], None]) -> None: ...
    def remove(self, stream: ParkedStream) -> None: ...
    def count_out(self) -> None: ...


class ParkedStream:
    """A response whose request has ended, while its body continues.

    Everything happens on the io loop, except `wake`. While ``_busy`` the reader and the encoder
    are a store thread's.
    """

    def __init__(  # noqa: PLR0913 - the parts of a stream, by name
        self,
        parking: StreamLoop,
        connection: Connection,
        reader: Reader,
        encode: Encoder,
        *,
        head: bytes,
        opening: bytes,
        keep_alive: bytes,
        batch_seconds: float,
        closed: Callable[[], None],
        closes_at_once: bool,
    ) -> None:
        """``head`` and ``opening`` are still to be sent.

        ``closed`` is called at the end: in another thread, unless it ``closes_at_once``.
        """
        self.client: socket.socket = connection.socket
        self.fileno = self.client.fileno()
        #: Whether there may be more in the store; set with every wake-up.
        self.has_news = True
        #: Whether `advance` is due already; kept by the table.
        self.is_woken = False
        self._parking = parking
        self._connection = connection
        self._reader = reader
        self._pump = Pump(
            encode,
            keep_alive=keep_alive,
            keepalive_seconds=parking.keepalive_seconds,
            batch_seconds=batch_seconds,
        )
        self._sent_bytes = len(opening)
        self._on_closed = closed
        self._closes_at_once = closes_at_once
        self._entered = False
        #: When the pump has something to do without an event.
        self._due_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._frames: Iterator[bytes] = iter(())
        self._chunk = head + (_chunk_of(opening) if opening else b"")
        self._ending = False
        self._waits_for_room = False
        self._busy = False
        self._gone = False
        self._closed = False
        self._writing_since: float | None = None
        self._asked_at = 0.0
        # Last: a turn's thread may call `wake` from here on, and what it raises would end the turn.
        self._feed = reader.park(self.wake)

    def enter(self) -> None:
        """Begin: the table watches the socket now."""
        self._entered = True
        self._pump.sent(self._parking.now())
        self.advance()

    def wake(self) -> None:
        """There may be events; called from any thread, before `enter` too, which reads them."""
        if self._entered:
            self._parking.wake(self)

    def advance(self) -> None:
        """Read, encode and write what there is."""
        if not (self._busy or self._closed or self._waits_for_room):
            self._guard(self._advance)

    def room_came(self) -> None:
        """The socket takes bytes again."""
        self._waits_for_room = False
        self._parking.await_room(self, waits=False)
        self.advance()

    def hang_up(self, *, timed_out: bool = False) -> None:
        """The client has gone, or is dropped."""
        self._gone = True
        self._reader.note_gone(timed_out=timed_out)
        self._parking.remove(self)  # or it would be called again and again
        if not self._busy:
            self._close(cut=True)

    def look(self, now: float) -> None:
        """Do what is due without an event: comments, the write timeout, a read from the store."""
        if self._busy or self._closed:
            return
        if self._writing_since is not None:
            if now - self._writing_since > self._parking.write_timeout_seconds:
                self.hang_up(timed_out=True)
            return
        if now >= self._due_at:
            self.advance()
        elif not self._feed.live and now - self._asked_at >= LOOK_SECONDS:
            self.has_news = True
            self.advance()

    def _guard(self, act: Callable[[], None]) -> None:
        try:
            act()
        except RequestError as error:
            log.warning("a reader is cut off: %s", error.code)
            self._close(cut=True)
        except Exception:
            log.exception("a parked stream failed")
            self._close(cut=True)

    def _advance(self) -> None:
        while not self._busy and self._write():
            if self._ending:
                self._close(cut=False)
                return
            if not self._step():
                return

    def _step(self) -> bool:
        """Do what is due; False when nothing is, yet."""
        now = self._parking.now()
        step = self._pump.step(now, ended=self._reader.ended)
        if isinstance(step, Send):
            self._send(step)
            return True
        if isinstance(step, End):
            self._ending, self._chunk = True, LAST_CHUNK
            return True
        if self._read():
            return True
        self._wait(step.until, now)
        return False

    def _wait(self, until: float, now: float) -> None:
        """Continue at this moment: by the table's next look, or a timer where that may be late."""
        self._due_at = until
        if until - now > TIMER_SECONDS:
            return
        if self._timer is not None:
            if self._timer.when() <= until:
                return  # it looks then, and waits on
            self._timer.cancel()
        self._timer = self._parking.loop.call_at(until, self._time_is_over)

    def _time_is_over(self) -> None:
        self._timer = None
        self.advance()

    # -- reading

    def _read(self) -> bool:
        """Take what is there; False when nothing is, yet."""
        events = self._feed.read_live()
        if events is None:
            self._ask_store()
            return False
        self._pump.take(events)
        return bool(events)

    def _ask_store(self) -> None:
        if self.has_news:
            self.has_news = False
            self._asked_at = self._parking.now()
            self._call_beside(partial(self._feed.read, 0), self._take_from_store)

    def _take_from_store(self, events: list[NumberedEvent]) -> None:
        self._pump.take(events)
        self.has_news = self.has_news or bool(events)

    # -- encoding

    def _send(self, step: Send) -> None:
        if step.may_block:
            self._call_beside(lambda: list(step.frames), self._take_frames)
        else:
            self._frames = step.frames

    def _take_frames(self, frames: list[bytes]) -> None:
        self._frames = iter(frames)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- writing

    def _write(self) -> bool:
        """Write what is due; False when the socket takes no more, or the client has gone."""
        while chunk := self._chunk or self._next_chunk():
            if self._writing_since is None:
                self._writing_since = self._parking.now()
            try:
                sent = send_at_once(self.client, chunk)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.hang_up()
                return False
            if sent < len(chunk):
                self._chunk = chunk[sent:]
                self._waits_for_room = True
                self._parking.await_room(self, waits=True)
                return False
            self._chunk = b""
            self._writing_since = None
            self._pump.sent(self._parking.now())
        return True

    def _next_chunk(self) -> bytes:
        """The next piece of the body as one chunk of HTTP; empty when there is none."""
        body = bytearray()
        for frame in self._frames:
            body += frame
            if len(body) >= MAX_CHUNK_BYTES:
                break
        self._sent_bytes += len(body)
        return _chunk_of(bytes(body)) if body else b""

    # -- calls that may block

    def _call_beside(self, call: Callable[[], T], take: Callable[[T], None]) -> None:
        """Pass what ``call`` returns in a store thread to ``take``, and go on."""

        def work() -> None:
            try:
                outcome = partial(take, call())
            except Exception as error:  # noqa: BLE001 - raised again on the loop
                outcome = partial(_raise, error)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its streams with it
                self._parking.loop.call_soon_threadsafe(self._go_on, outcome)

        self._parking.call_beside(work)
        self._busy = True

    def _go_on(self, outcome: Callable[[], None]) -> None:
        self._busy = False
        if self._gone:
            self._close(cut=True)
            return
        self._guard(outcome)
        self.advance()

    # -- the end

    def _close(self, *, cut: bool) -> None:
        """End the connection, with a cut unless the whole body was written."""
        if self._closed:
            return
        self._closed = True
        self._stop_timer()
        self._parking.remove(self)
        with contextlib.suppress(OSError):  # the client was faster, or has sent nothing more
            self.client.shutdown(socket.SHUT_RDWR if cut else socket.SHUT_WR)
            receive_at_once(self.client, MAX_UNREAD_BYTES)
        self.client.close()
        self._reader.close()
        self._feed.call_when_woken(nothing)  # or each would hold the other
        if self._closes_at_once:
            self._finish()
            return
        try:
            self._parking.call_beside(self._finish)
        except RuntimeError:
            self._finish()  # better a loop that pauses than a request without its end

    def _finish(self) -> None:
        try:
            self._on_closed()
        finally:
            try:
                self._connection.log_access(self._sent_bytes)
            finally:
                self._parking.count_out()


def _chunk_of(body: bytes) -> bytes:
    return b"%X\r\n%b\r\n" % (len(body), body)


def _raise(error: Exception) -> None:
    raise error
