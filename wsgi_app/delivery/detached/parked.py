"""One stream that the io loop writes: what the generator does, without its thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from wsgi_app.delivery.detached.handover import Connection
from wsgi_app.delivery.detached.send import send_at_once
from wsgi_app.delivery.generator import MAX_CHUNK_BYTES, Encoder, can_wait
from wsgi_app.delivery.reader import Reader
from wsgi_app.errors import RequestError
from wsgi_app.events import InputRequest, NumberedEvent
from wsgi_app.frames.merge import merge_backlog, merge_text

if TYPE_CHECKING:
    from wsgi_app.delivery.detached.parking import Parking

log = logging.getLogger("wsgi_app")

T = TypeVar("T")

#: How often the store is asked when no signal tells that there is more.
LOOK_SECONDS: Final = 1.0
#: RFC 9112, section 7.1: the chunk that ends a body. Without it the client sees a cut.
LAST_CHUNK: Final = b"0\r\n\r\n"
#: What a client may have sent behind its request; unread, it would make the close a reset.
MAX_UNREAD_BYTES: Final = 65_536


class ParkedStream:
    """A response whose request has ended, but for its bytes.

    Everything happens on the io loop, except `wake`. While ``_busy`` the reader and the encoder
    are a store thread's.
    """

    def __init__(  # noqa: PLR0913 - the parts of a stream, by name
        self,
        parking: Parking,
        connection: Connection,
        reader: Reader,
        encode: Encoder,
        *,
        sent_bytes: int,
        keep_alive: bytes,
        batch_seconds: float,
        closed: Callable[[], None],
    ) -> None:
        """``sent_bytes`` of the body are out. ``closed`` is called in another thread at the end."""
        self.client: socket.socket = connection.socket
        self.fileno = self.client.fileno()
        #: Whether there may be more in the store; set with every wake-up.
        self.has_news = True
        #: Whether `advance` is due already; kept by the table.
        self.is_woken = False
        self._parking = parking
        self._connection = connection
        self._reader = reader
        self._feed = reader.park(self.wake)
        self._encode = encode
        self._sent_bytes = sent_bytes
        self._keep_alive = keep_alive
        self._batch_seconds = batch_seconds
        self._on_closed = closed
        self._entered = False
        self._window: list[NumberedEvent] = []
        self._window_timer: asyncio.TimerHandle | None = None
        self._window_is_over = False
        self._frames: Iterator[bytes] = iter(())
        self._chunk = b""
        self._ending = False
        self._waits_for_room = False
        self._busy = False
        self._gone = False
        self._closed = False
        self._wrote_at = 0.0
        self._writing_since: float | None = None
        self._asked_at = 0.0

    def enter(self) -> None:
        """Begin: the table watches the socket now."""
        self._entered = True
        self._wrote_at = self._parking.now()
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
        """The client has gone, or is let go."""
        self._gone = True
        self._reader.note_gone(timed_out=timed_out)
        self._parking.remove(self)  # it would be told again and again
        if not self._busy:
            self._close(cut=True)

    def look(self, now: float) -> None:
        """Do what is due without an event: comments, the write timeout, a question to the store."""
        if self._busy or self._closed:
            return
        if self._writing_since is not None:
            if now - self._writing_since > self._parking.write_timeout_seconds:
                self.hang_up(timed_out=True)
            return
        if now - self._wrote_at >= self._parking.keepalive_seconds:
            self._frames = iter([self._keep_alive])
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
            if not (self._send_window() or self._read()):
                return

    # -- reading

    def _read(self) -> bool:
        """Take what is there; False when nothing is, yet."""
        if self._reader.ended:
            self._ending, self._chunk = True, LAST_CHUNK
            return True
        events = self._feed.read_live()
        if events is None:
            self._ask_store()
            return False
        self._window += events
        return bool(events)

    def _ask_store(self) -> None:
        if self.has_news:
            self.has_news = False
            self._asked_at = self._parking.now()
            self._call_beside(partial(self._feed.read, 0), self._take_from_store)

    def _take_from_store(self, events: list[NumberedEvent]) -> None:
        self._window += events
        self.has_news = self.has_news or bool(events)

    # -- encoding

    def _send_window(self) -> bool:
        """Let what was read become frames; False if there is nothing, or it waits for more."""
        if not self._window or self._may_grow():
            return False
        events, self._window = self._window, []
        self._close_window()
        events = list(merge_text(events)) if self._batch_seconds else merge_backlog(events)
        if any(isinstance(numbered.event, InputRequest) for numbered in events):
            # A wire that ends at questions asks the store whether this one still waits.
            self._call_beside(lambda: list(map(self._encode, events)), self._take_frames)
        else:
            self._frames = map(self._encode, events)
        return True

    def _take_frames(self, frames: list[bytes]) -> None:
        self._frames = iter(frames)

    def _may_grow(self) -> bool:
        """Whether the window of a batch is open; opens it."""
        if not self._batch_seconds or self._window_is_over or self._reader.ended:
            return False
        if not can_wait(self._window):
            return False
        if self._window_timer is None:
            self._window_timer = self._parking.loop.call_later(
                self._batch_seconds, self._let_window_end
            )
        return True

    def _let_window_end(self) -> None:
        self._window_is_over = True
        self.advance()

    def _close_window(self) -> None:
        self._window_is_over = False
        if self._window_timer is not None:
            self._window_timer.cancel()
            self._window_timer = None

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
            self._wrote_at, self._writing_since = self._parking.now(), None
        return True

    def _next_chunk(self) -> bytes:
        """The next piece of the body as one chunk of HTTP; empty when there is none."""
        body = bytearray()
        for frame in self._frames:
            body += frame
            if len(body) >= MAX_CHUNK_BYTES:
                break
        self._sent_bytes += len(body)
        return b"%X\r\n%b\r\n" % (len(body), bytes(body)) if body else b""

    # -- calls that may block

    def _call_beside(self, call: Callable[[], T], take: Callable[[T], None]) -> None:
        """Give ``take`` what ``call`` makes in a store thread, and go on."""

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
        """End the connection; what was written is followed by a cut, or is the whole body."""
        if self._closed:
            return
        self._closed = True
        self._close_window()
        self._parking.remove(self)
        with contextlib.suppress(OSError):  # the client was faster, or has sent nothing more
            self.client.shutdown(socket.SHUT_RDWR if cut else socket.SHUT_WR)
            self.client.recv(MAX_UNREAD_BYTES)
        self.client.close()
        self._reader.close()
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


def _raise(error: Exception) -> None:
    raise error
