"""Responses that are streams of events: drained by their server's threads, or parked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from flask import Response

from wsgi_app.delivery.detached.handover import (
    Connection,
    connection_of,
    is_held_back,
)
from wsgi_app.delivery.detached.parked import ParkedStream
from wsgi_app.delivery.generator import stream_frames
from wsgi_app.delivery.pump import Encoder
from wsgi_app.delivery.reader import Reader
from wsgi_app.frames.sse import KEEP_ALIVE, OPENING
from wsgi_app.web.foreign import warn_of_collector, warn_of_joiner
from wsgi_app.web.mount import Mount
from wsgi_app.web.unsent import CLOSE_UNSENT


class EventStream(Response):
    """A response whose body waits for events, outside of its request.

    The body needs no context of Flask's, and so none is held between two chunks: a server may
    fetch each of them in another thread, which would keep what was entered there for the next
    request. The site's teardowns have run, once, before the first chunk is due; with them go the
    request's database sessions.

    The site's after_request functions get it like any response, and some want its whole body. That
    would take as long as the turn: they get an empty one, and the log names them.
    """

    def __new__(cls, mount: Mount, *_parts: Any, **_named: Any) -> EventStream:  # noqa: PYI034 - of a class made for it
        """Derive it from the site's own class of responses, where the site has one.

        Flask would else turn it into one of those, which know nothing of what stands here
        (werkzeug's `Response.force_type` sets its ``__class__``).
        """
        sites = mount.app.response_class
        return super().__new__(
            cls if issubclass(cls, sites) else _joined(cls.__name__, (cls, sites))
        )

    def __init__(self, mount: Mount, frames: Iterator[bytes], headers: Mapping[str, str]) -> None:
        self._frames = frames = self._guarded(frames)
        super().__init__(frames, headers=dict(headers))
        self._mount = mount
        self._begun = False

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer as WSGI asks; the site's after_request functions have run."""
        self._begin()
        environ[CLOSE_UNSENT] = self.close
        return super().__call__(environ, start_response)

    def _begin(self) -> None:
        self._begun = True
        self.headers.pop("Content-Length", None)  # what counted it did not count a stream
        if self._mount.before_stream is not None:
            self._mount.call_before_stream()

    def _guarded(self, frames: Iterator[bytes]) -> Iterator[bytes]:
        if not self._begun:
            warn_of_collector(self._mount)
            raise RuntimeError("this response is a stream: its body is not there yet")
        yield from itertools.islice(frames, 1)
        if not self._mount.chunks_flow:  # asked until they have done so once
            if is_held_back():
                warn_of_joiner(self._mount)
            else:
                self._mount.chunks_flow = True
        yield from frames

    def make_sequence(self) -> None:
        """Refuse to wait for the whole body; the log names what asks for it."""
        warn_of_collector(self._mount)

    def get_data(self, as_text: bool = False) -> Any:  # noqa: FBT001, FBT002 - werkzeug's
        """Return an empty body, and warn of the code that asks for it."""
        warn_of_collector(self._mount)
        return "" if as_text else b""

    def calculate_content_length(self) -> None:
        """Return None, as of any stream."""

    def freeze(self) -> None:
        """Do nothing: what is to come cannot be kept."""
        warn_of_collector(self._mount)

    def add_etag(self, overwrite: bool = False, weak: bool = False) -> None:  # noqa: FBT001, FBT002 - werkzeug's
        """Do nothing: what is to come has no tag."""


@lru_cache(maxsize=32)
def _joined(name: str, bases: tuple[type, ...]) -> type[Any]:
    return type(name, bases, {})


class StreamResponse(EventStream):
    """A reader's events as frames; used by one thread at a time.

    The server gets an ordinary response whose body is a generator. Where the reader's slot has no
    thread, the body goes on without the server, which gets an empty one.
    """

    def __init__(  # noqa: PLR0913 - the parts of a stream, by name
        self,
        mount: Mount,
        reader: Reader,
        encode: Encoder,
        *,
        start: Callable[[], None],
        opening: bytes,
        batch_seconds: float,
        headers: Mapping[str, str],
        keep_alive: bytes = KEEP_ALIVE,
        burst_seconds: float | None = None,
    ) -> None:
        """``start`` is called when the ``opening`` is out, and in any case at the end.

        With ``burst_seconds`` the body ends then, and its client comes back for the rest.
        """
        frames = stream_frames(
            reader,
            encode,
            start=start,
            keepalive_seconds=reader.keepalive_seconds(mount.settings.keepalive_seconds),
            keep_alive=keep_alive,
            batch_seconds=batch_seconds,
            opening=opening,
            burst_seconds=burst_seconds,
        )
        super().__init__(mount, frames, headers)
        # Registered with the response: a generator that never started runs no finally.
        super().call_on_close(reader.close)
        super().call_on_close(start)
        self._closes_at_once = True
        self._reader = reader
        self._encode = encode
        self._start = start
        self._opening = OPENING + opening
        self._keep_alive = keep_alive
        self._batch_seconds = batch_seconds

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer as WSGI asks; the site's after_request functions have run."""
        self._begin()
        body, status, headers = self.get_wsgi_response(environ)
        start_response(status, headers)
        if self._reader.parks:
            try:
                if self._park(environ):
                    return []
            except BaseException:
                self.close()  # the server has got no body to close
                raise
            self._reader.hold_thread()
        environ[CLOSE_UNSENT] = self.close
        return body

    def _park(self, environ: dict[str, Any]) -> bool:
        """Hand the rest to the io loop; returns False, and does nothing, where it cannot."""
        parking = self._mount.worker.parking
        connection = connection_of(environ)
        obstacle = self._find_obstacle(connection, environ)
        if connection is None or obstacle is not None:
            parking.give_up(f"{obstacle}")
            return False
        if self._reader.gone:
            return False
        head = connection.hand_over()
        stream = ParkedStream(
            parking,
            connection,
            self._reader,
            self._encode,
            head=head,
            opening=self._opening,
            keep_alive=self._keep_alive,
            batch_seconds=self._batch_seconds,
            closed=self.close,
            closes_at_once=self._closes_at_once and not connection.logs_access,
        )
        parking.park(stream)
        self._start()
        return True

    def call_on_close(self, func: Callable[[], Any]) -> Callable[[], Any]:
        """Have ``func`` called when the response is closed: the site's may block."""
        self._closes_at_once = False
        return super().call_on_close(func)

    def _find_obstacle(self, connection: Connection | None, environ: dict[str, Any]) -> str | None:
        if connection is None:
            return "gunicorn's worker is not above the application"
        if self.response is not self._frames:
            return "the site has put another body into the response"
        return connection.find_obstacle(environ)
