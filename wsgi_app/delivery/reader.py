"""One client waiting for a turn: its slot, its feed and the watch over its connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from wsgi_app.delivery.disconnect import HangupWatcher, Watch
from wsgi_app.delivery.server import client_disconnected, client_socket
from wsgi_app.delivery.slots import StreamSlots
from wsgi_app.events import NumberedEvent
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey


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

    def wake(self) -> None:
        """Let the waiting `read` return."""

    def close(self) -> None:
        """Stop counting as a reader."""


class ReaderGone(Exception):  # noqa: N818 - nothing went wrong here
    """The client has hung up."""


class Reader:
    """Reads a feed for a client until either of them ends; `close` must be called once done.

    Used by its request's thread; the watcher's sets ``gone``.
    """

    def __init__(
        self,
        feed: EventSource,
        watcher: HangupWatcher,
        environ: dict[str, Any],
        give_slot_back: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._give_slot_back = give_slot_back
        self._closed = False
        self._finished = False
        self._cut = False
        self.gone = False
        self._watch = watcher.watch(
            client_socket(environ), client_disconnected(environ), self._set_gone
        )

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._finished or self._feed.ended

    def finish(self) -> None:
        """Take nothing more: what the client was to get is whole, though the turn may go on."""
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

    def begin_write(self) -> None:
        """Start the clock of the write timeout."""
        self._watch.writing_since = time.monotonic()

    def end_write(self) -> None:
        """Stop it: the server took the bytes."""
        self._watch.writing_since = None

    def cut(self) -> None:
        """End the connection so that the client sees a cut, not an end."""
        self._cut = True
        self._watch.cut()

    def close(self) -> None:
        """Leave the turn, the slot and the socket; may be called twice."""
        if not self._closed:
            self._closed = True
            self._watch.close()
            self._feed.close()
            self._give_slot_back()

    def _set_gone(self, watch: Watch) -> None:
        self.gone = True
        missed = watch.writing_since is not None or not self._feed.complete
        if missed and not (self._cut or self._closed or self._finished):
            metrics().disconnects.labels("write_timeout" if watch.timed_out else "hang_up").inc()
        self._feed.wake()


def take_slot(slots: StreamSlots, keys: Sequence[SessionKey]) -> Callable[[], None]:
    """Take a stream slot; answers what gives it back. Raises RequestError when there is none."""
    slots.take(keys)
    return lambda: slots.give_back(keys)
