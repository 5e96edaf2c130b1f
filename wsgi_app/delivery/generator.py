"""The generator that drains a turn into SSE frames in its request's thread."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator

from wsgi_app.delivery.reader import Reader, ReaderGone
from wsgi_app.errors import RequestError
from wsgi_app.events import Cancelled, Done, Error, NumberedEvent, Thinking, Token
from wsgi_app.frames.merge import merge_backlog, merge_text
from wsgi_app.frames.sse import KEEP_ALIVE, OPENING

log = logging.getLogger("wsgi_app")

#: The write timeout holds for one chunk: small enough for a slow but living client.
MAX_CHUNK_BYTES = 65_536

Encoder = Callable[[NumberedEvent], bytes]


def stream_frames(  # noqa: PLR0913 - the parts of a stream, the optional ones by name
    reader: Reader,
    encode: Encoder,
    *,
    start: Callable[[], None],
    keepalive_seconds: float,
    keep_alive: bytes = KEEP_ALIVE,
    batch_seconds: float = 0.0,
    opening: bytes = b"",
    burst_seconds: float | None = None,
) -> Iterator[bytes]:
    """Yield the bytes of an SSE body: an opening comment, frames, and comments in silence.

    ``opening`` are frames that stand before the turn's first event. ``start`` is called when they
    have been written. The body ends regularly when the reader ends, and ``burst_seconds`` after
    the start if there is such a bound; in all other cases the connection is cut first.
    """
    try:
        yield from _write(reader, [OPENING + opening])
        start()
        closes_at = math.inf if burst_seconds is None else time.monotonic() + burst_seconds
        while not reader.ended and (left := closes_at - time.monotonic()) > 0:
            events = _collect(reader, min(keepalive_seconds, left), batch_seconds)
            if events:
                yield from _write(reader, map(encode, events))
            elif not reader.ended:
                yield from _write(reader, [keep_alive])
    except ReaderGone:
        reader.cut()
    except RequestError as error:
        log.warning("a reader is cut off: %s", error.code)
        reader.cut()
    finally:
        reader.close()


def _collect(
    reader: Reader, keepalive_seconds: float, batch_seconds: float
) -> Iterable[NumberedEvent]:
    events = reader.read(keepalive_seconds)
    if not batch_seconds or not events:
        return merge_backlog(events)
    closes_at = time.monotonic() + batch_seconds
    while not reader.ended and can_wait(events) and (left := closes_at - time.monotonic()) > 0:
        events += reader.read(left)
    return list(merge_text(events))


def can_wait(events: list[NumberedEvent]) -> bool:
    """Only text waits for more; tools, questions and ends go out at once."""
    return isinstance(events[-1].event, (Token, Thinking)) and not any(
        isinstance(numbered.event, (Done, Error, Cancelled)) for numbered in events
    )


def _write(reader: Reader, frames: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for frame in frames:
        chunk += frame
        if len(chunk) >= MAX_CHUNK_BYTES:
            yield from _write_chunk(reader, bytes(chunk))
            chunk.clear()
    if chunk:
        yield from _write_chunk(reader, bytes(chunk))


def _write_chunk(reader: Reader, chunk: bytes) -> Iterator[bytes]:
    if reader.gone:
        raise ReaderGone
    reader.begin_write()
    yield chunk
    reader.end_write()
