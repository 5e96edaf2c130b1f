"""One client that waits for a turn: its slot, its feed and the watch over its connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from wsgi_app.delivery.disconnect import HangupWatcher, Watch
from wsgi_app.delivery.server import client_disconnected, client_socket, learns_by_writing
from wsgi_app.delivery.slots import Slot
from wsgi_app.events import NumberedEvent
from wsgi_app.metrics import metrics

#: Where only a write notices that a client has gone, it is noticed within two such silences.
PROBE_SECONDS = 0.4


class EventSource(Protocol):
    """What a reader reads: a `Feed`, or many."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""

    @property
    def complete(self) -> bool:
        """Whether a reader that goes now misses nothing."""

    def read(self, timeout_seconds: float) -> list[NumberedEvent]:
        """Take what is there, or wait for it."""

    def read_live(self) -> list[NumberedEvent] | None:
        """Take what is there without a wait; None when the store has to be asked."""

    @property
    def live(self) -> bool:
        """Whether `read_live` needs no store."""

    def call_when_woken(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called where a wait of `read` would end."""

    def wake(self) -> None:
        """Let the waiting `read` return."""

    def close(self) -> None:
        """Stop counting as a reader."""


class ReaderGone(Exception):  # noqa: N818 - nothing went wrong here
    """The client has hung up."""


class Reader:
    """Reads a feed for a client until either of them ends; `close` must be called once done.

    Used by its request's thread, and after `park` by the io loop; the watcher's sets ``gone``.
    """

    def __init__(
        self,
        feed: EventSource,
        watcher: HangupWatcher,
        environ: dict[str, Any],
        slot: Slot | None,
        host: str,
    ) -> None:
        self._feed = feed
        self._host = host
        self._slot = slot
        self._closed = False
        self._finished = False
        self._cut = False
        self._uncounted = threading.Lock()  # taken once, to count its loss
        self.gone = False
        self._watcher = watcher
        self._environ = environ
        # One that parks leaves its thread at once: only the io loop will watch its client.
        #: Whether it is to be read without a thread.
        self.parks = slot is not None and slot.parked
        self._probes = False
        self._watch: Watch | None = None if self.parks else self._begin_watch()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._finished or self._feed.ended

    def _begin_watch(self) -> Watch:
        client = client_socket(self._environ)
        disconnected = None
        if client is None:
            disconnected = client_disconnected(self._environ)
            self._probes = learns_by_writing(self._environ)
        return self._watcher.watch(client, disconnected, self._set_gone)

    def hold_thread(self) -> None:
        """Count as a reader that its request's thread drains, whatever was planned."""
        if self._watch is None:
            self._watch = self._begin_watch()
        self.parks = False
        if self._slot is not None:
            self._slot.hold_thread()

    def finish(self) -> None:
        """Read nothing more: the client has all that it should get, even if the turn continues."""
        self._finished = True

    def read(self, timeout_seconds: float) -> list[NumberedEvent]:
        """Wait for events; nothing when the time is over or the feed ended.

        Raises ReaderGone when the client has hung up, and StoreUnavailable.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            if self.gone:
                raise ReaderGone
            events = self._feed.read(deadline - time.monotonic())
            if events or self.ended or time.monotonic() >= deadline:
                return events

    def keepalive_seconds(self, wanted: float) -> float:
        """How long a stream to this client may stay silent; less where only a write sees it go."""
        return min(wanted, PROBE_SECONDS) if self._probes else wanted

    def park(self, wake: Callable[[], None]) -> EventSource:
        """Have ``wake`` called when there may be events.

        Returns what to read from now on; `ended` and `close` stay valid.
        """
        self._feed.call_when_woken(wake)
        return self._feed

    def begin_write(self) -> None:
        """Start the clock of the write timeout; raises ReaderGone."""
        if self.gone:
            raise ReaderGone
        if self._watch is not None:
            self._watch.writing_since = time.monotonic()

    def end_write(self) -> None:
        """Stop that clock: the server accepted the bytes."""
        if self._watch is not None:
            self._watch.writing_since = None

    def cut(self) -> None:
        """End the connection so that the client sees a cut, not an end."""
        self._cut = True
        if self._watch is not None:
            self._watch.cut()

    def close(self) -> None:
        """Leave the turn, the slot and the socket; may be called twice."""
        if not self._closed:
            if self._watch is not None and self._watch.timed_out:
                self.note_gone(timed_out=True)  # the watcher may not have come to it yet
            self._closed = True
            if self._watch is not None:
                self._watch.close()
            self._feed.close()
            if self._slot is not None:
                self._slot.give_back()

    def note_gone(self, *, timed_out: bool) -> None:
        """The client has gone, or was cut off because it took nothing for too long."""
        self.gone = True
        # One that goes by itself may have got the last bytes, though their write continues.
        incomplete = timed_out or not self._feed.complete
        is_lost = incomplete and not (self._cut or self._closed or self._finished)
        if is_lost and self._uncounted.acquire(blocking=False):
            metrics(self._host).disconnects.labels(
                "write_timeout" if timed_out else "hang_up"
            ).inc()

    def _set_gone(self, watch: Watch) -> None:
        self.note_gone(timed_out=watch.timed_out)
        self._feed.wake()
