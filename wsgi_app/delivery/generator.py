"""The generator that drains a turn into SSE frames in its request's thread."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator

from wsgi_app.delivery.pump import Encoder, End, Pump, Wait
from wsgi_app.delivery.reader import Reader, ReaderGone
from wsgi_app.errors import RequestError
from wsgi_app.frames.sse import KEEP_ALIVE, OPENING

log = logging.getLogger("wsgi_app")

#: The write timeout holds for one chunk: small enough for a slow but living client.
MAX_CHUNK_BYTES = 65_536


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
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """Yield the bytes of an SSE body: an opening comment, frames, and comments in silence.

    ``opening`` are frames that stand before the turn's first event. ``start`` is called when they
    have been written. The body ends regularly when the reader ends, and ``burst_seconds`` after
    the start if there is such a bound; in all other cases the connection is cut first.
    """
    try:
        reader.begin_write()
        yield OPENING + opening
        reader.end_write()
        start()
        now = clock()
        pump = Pump(
            encode,
            keep_alive=keep_alive,
            keepalive_seconds=keepalive_seconds,
            batch_seconds=batch_seconds,
            sent_at=now,
        )
        pump.closes_at = math.inf if burst_seconds is None else now + burst_seconds
        while not isinstance(step := pump.step(clock(), ended=reader.ended), End):
            if isinstance(step, Wait):
                pump.take(reader.read(step.until - clock()))
            else:
                for chunk in _chunks(step.frames):
                    reader.begin_write()
                    yield chunk
                    reader.end_write()
                pump.sent(clock())
    except ReaderGone:
        reader.cut()
    except RequestError as error:
        log.warning("a reader is cut off: %s", error.code)
        reader.cut()
    finally:
        reader.close()


def _chunks(frames: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for frame in frames:
        chunk += frame
        if len(chunk) >= MAX_CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
