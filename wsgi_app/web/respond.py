"""Answers that are streams of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from flask import Flask, Response, g

from wsgi_app.delivery.pump import Encoder
from wsgi_app.delivery.reader import Reader
from wsgi_app.frames import sse
from wsgi_app.web.client_tools import takes_steering
from wsgi_app.web.mount import Mount
from wsgi_app.web.stream import StreamResponse
from wsgi_app.web.turns import OpenTurn

STREAM_HEADERS: Final = {
    "Content-Type": f"{sse.MIME_TYPE}; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    # nginx would collect the answer otherwise
    "X-Accel-Buffering": "no",
}


def stream_response(  # noqa: PLR0913 - the parts of a stream, the optional ones by name
    turn: OpenTurn,
    encode: Encoder,
    batch_seconds: float,
    *,
    opening: bytes = b"",
    keep_alive: bytes = sse.KEEP_ALIVE,
    headers: Mapping[str, str] | None = None,
    burst_seconds: float | None = None,
) -> Response:
    """Answer with a turn's events as SSE frames.

    ``batch_seconds``: how long it may collect text before it sends it. ``opening`` are frames
    before the first event; the turn starts when they are out, and in any case when the response is
    closed. ``burst_seconds``: how long it continues at most, where its client comes back then.
    """
    own = {"X-Session-Id": turn.key.session_id, "X-Turn-Id": str(turn.turn)}
    if takes_steering(turn.mount) if turn.run is None else turn.run.steering.is_open:
        own["X-Steerable"] = "1"
    return events_response(
        turn.mount,
        turn.reader,
        turn.start if turn.run is None else turn.run.start,
        encode,
        batch_seconds,
        opening=opening,
        keep_alive=keep_alive,
        headers={**STREAM_HEADERS, **own, **(headers or {})},
        burst_seconds=burst_seconds,
    )


def events_response(  # noqa: PLR0913 - the same
    mount: Mount,
    reader: Reader,
    start: Callable[[], None],
    encode: Encoder,
    batch_seconds: float,
    *,
    opening: bytes = b"",
    keep_alive: bytes = sse.KEEP_ALIVE,
    headers: Mapping[str, str] = STREAM_HEADERS,
    burst_seconds: float | None = None,
) -> Response:
    """Answer like `stream_response`, with events of possibly many sessions."""
    response = StreamResponse(
        mount,
        reader,
        encode,
        start=start,
        opening=opening,
        keep_alive=keep_alive,
        batch_seconds=batch_seconds,
        headers=headers,
        burst_seconds=burst_seconds,
    )
    g.wsgi_app_stream = (response, reader, start)
    return response


def give_up_dropped(_app: Flask, response: Response | None = None, **_: object) -> None:
    """Close this request's stream unless it is the answer; receives Flask's signals.

    The site's after_request may raise, or return something else: nothing closes the stream then.
    Not left to the garbage collector, which comes late, and in threads that hold locks.
    """
    made, reader, start = g.pop("wsgi_app_stream", (None, None, None))
    if made is not None and made is not response:
        reader.close()
        start()
