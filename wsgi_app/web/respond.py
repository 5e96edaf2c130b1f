"""From results and errors to responses."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from typing import Any, TypeVar, cast

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from wsgi_app.auth import LoginFailed
from wsgi_app.delivery.generator import Encoder
from wsgi_app.delivery.many_feeds import SessionEvent
from wsgi_app.delivery.reader import Reader
from wsgi_app.errors import STATUS_BY_CODE, AgentHostError, RequestError
from wsgi_app.events import Cancelled, Done, Error, InputRequest, NumberedEvent, encode_json
from wsgi_app.frames import sse
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey
from wsgi_app.web.answers import TurnAnswer
from wsgi_app.web.body import DISCARD_SECONDS, HASTY_SECONDS, discard_body, has_body
from wsgi_app.web.mount import Mount, current_mount
from wsgi_app.web.parse import batch_seconds, native_wire, wants_marks
from wsgi_app.web.site_errors import as_site_error
from wsgi_app.web.stream import StreamResponse
from wsgi_app.wires.agentflow import encode as agentflow
from wsgi_app.wires.native import encode as native

log = logging.getLogger("wsgi_app")

STREAM_HEADERS = {
    "Content-Type": f"{sse.MIME_TYPE}; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    # nginx would collect the answer otherwise
    "X-Accel-Buffering": "no",
}
RETRY_MILLISECONDS = 2000
#: For streams that are answered in bursts.
BURST_RETRY_MILLISECONDS = 400
#: Refusals that pass: an EventSource shall come back after them.
PASSING_CODES = ("draining", "at_capacity", "store_unavailable", "rate_limited")
_CODE_BY_STATUS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "at_capacity",
}
#: Makes the answer of a refusal.
ErrorShape = Callable[[AgentHostError], Response]
View = TypeVar("View", bound=Callable[..., Response])
_FIRST_ERROR, _FIRST_SERVER_ERROR = 400, 500
HAS_RETRY_AFTER = (429, 503)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a JSON document."""
    response = Response(encode_json(value), status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.extend(headers or {})
    return response


def error_response(error: AgentHostError | Error, extra: dict[str, Any] | None = None) -> Response:
    """Answer with an error in its one shape."""
    body = {"code": error.code, "message": error.message, "details": error.details, **(extra or {})}
    return json_response(body, error_status(error), error_headers(error))


def error_status(error: AgentHostError | Error) -> int:
    """The HTTP status of an error."""
    return STATUS_BY_CODE.get(error.code, 500)


def error_headers(error: AgentHostError | Error) -> dict[str, str]:
    """The headers that an error's answer carries in any wire."""
    headers = dict(error.headers) if isinstance(error, RequestError) else {}
    if error_status(error) in HAS_RETRY_AFTER:
        seconds = error.retry_after_seconds if isinstance(error, RequestError) else 1
        headers["Retry-After"] = str(seconds)
    return headers


def shaped(shape: ErrorShape) -> Callable[[View], View]:
    """Have the refusals of a view answered in its wire's own shape."""

    def mark(view: View) -> View:
        view.error_shape = shape  # type: ignore[attr-defined] # read by the blueprint
        return view

    return mark


def exception_response(error: Exception) -> Response:
    """Answer whatever a view raised, without telling its text."""
    _discard_body()
    shape: ErrorShape = g.get("wsgi_app_error_shape", error_response)
    if isinstance(error, LoginFailed):
        error = as_site_error(error.cause, exception_response) or error.cause
    if isinstance(error, HTTPException):
        return _http_error_response(error, shape)
    if not isinstance(error, AgentHostError):
        log.error("a request failed", exc_info=error)
        error = RequestError("internal_error", "The request failed.")
    count_refused(error.code)
    return shape(error)


def _discard_body() -> None:
    """Take in a refused body; who sends it slowly holds one of few places, or is not waited for."""
    place = current_mount().take_place() if has_body(request) else None
    try:
        discard_body(request, DISCARD_SECONDS if place else HASTY_SECONDS)
    finally:
        if place is not None:
            place.give_back()


def count_refused(code: str) -> None:
    """Count a request that is refused, whatever the shape of its answer."""
    metrics(current_mount().settings.host).refused.labels(code).inc()


def _http_error_response(error: HTTPException, shape: ErrorShape) -> Response:
    """Answer what werkzeug, or the site's own code, gave up with."""
    status = error.code if error.response is None else error.response.status_code
    if status is None or status < _FIRST_ERROR:
        status = 500
    other = "invalid_request" if status < _FIRST_SERVER_ERROR else "internal_error"
    code = _CODE_BY_STATUS.get(status, other)
    count_refused(code)
    response = shape(RequestError(code, error.name))
    response.status_code = status
    headers = dict(error.get_headers())
    headers.pop("Content-Type", None)
    response.headers.update(headers)
    if status in HAS_RETRY_AFTER:
        response.headers.setdefault("Retry-After", "1")
    return response


def stream_response(  # noqa: PLR0913 - the parts of a stream, the optional ones by name
    mount: Mount,
    reader: Reader,
    key: SessionKey,
    turn: int,
    start: Callable[[], None],
    *,
    encode: Encoder | None = None,
    opening: bytes = b"",
    keep_alive: bytes = sse.KEEP_ALIVE,
    headers: dict[str, str] | None = None,
    resumes: bool = False,
) -> Response:
    """Answer with the reader's events as SSE frames, by default of the native wire.

    ``opening`` are frames before the first event. ``start`` runs when they are out, and in any
    case when the response is closed. ``resumes``: its client comes back after any end without a
    terminal event, so that a server that cannot stream may answer in bursts.
    """
    response = events_response(
        mount,
        reader,
        start,
        encode=encode,
        opening=opening,
        keep_alive=keep_alive,
        resumes=resumes,
    )
    response.headers["X-Session-Id"] = key.session_id
    response.headers["X-Turn-Id"] = str(turn)
    response.headers.update(headers or {})
    return response


def events_response(  # noqa: PLR0913 - the same
    mount: Mount,
    reader: Reader,
    start: Callable[[], None],
    *,
    encode: Encoder | None = None,
    opening: bytes = b"",
    keep_alive: bytes = sse.KEEP_ALIVE,
    resumes: bool = False,
) -> Response:
    """Answer like `stream_response`, with what may be of many sessions."""
    burst_seconds = mount.burst_seconds if resumes else None
    retry = RETRY_MILLISECONDS if burst_seconds is None else BURST_RETRY_MILLISECONDS
    response = StreamResponse(
        mount,
        reader,
        encode or _native_encoder(retry),
        start=start,
        opening=opening,
        keep_alive=keep_alive,
        batch_seconds=batch_seconds(request),
        headers=STREAM_HEADERS,
        burst_seconds=burst_seconds,
    )
    g.wsgi_app_stream = (response, reader, start)
    return response


def give_up_dropped(_app: Flask, response: Response | None = None, **_: object) -> None:
    """Let go of this request's stream unless it is the answer; receives Flask's signals.

    The site's after_request may raise, or answer something else: nobody closes the stream then.
    Not left to the garbage collector, which comes late, and in threads that hold locks.
    """
    made, reader, start = g.pop("wsgi_app_stream", (None, None, None))
    if made is not None and made is not response:
        reader.close()
        start()


def _native_encoder(retry_milliseconds: int) -> Encoder:
    """The encoder that the request names; its first frame carries the reconnect time."""
    is_first = True
    make_frame: Callable[..., bytes] = native.encode_frame
    if native_wire(request) == "agentflow":
        make_frame = agentflow.encode_frame
    elif request.args.get("named") == "1":
        make_frame = partial(native.encode_frame, named=True)

    marks = wants_marks(request)

    def encode(numbered: NumberedEvent) -> bytes:
        nonlocal is_first
        retry = jittered(retry_milliseconds) if is_first else None
        is_first = False
        made = (
            make_frame(numbered)
            if retry is None
            else make_frame(numbered, retry_milliseconds=retry)
        )
        return native.mark_comment(numbered) + made if marks else made

    return encode


def many_encoder(*, named: bool) -> Encoder:
    """The native wire's encoder for many sessions; its first frame carries the reconnect time.

    The ids are cursors, with marks for who asks for them: an EventSource gives them back so.
    """
    retry: int | None = jittered_retry_milliseconds()
    marks = wants_marks(request)

    def encode(numbered: NumberedEvent) -> bytes:
        nonlocal retry
        of_session = cast("SessionEvent", numbered)  # what ManyFeeds reads
        made = native.encode_session_frame(
            numbered,
            of_session.session_id,
            ",".join(str(one if marks else one.place) for one in of_session.cursors),
            named=named,
            retry_milliseconds=retry,
        )
        retry = None
        return made

    return encode


def refused_event_source(error: RequestError, last_event_id: str) -> Response:
    """Answer an EventSource that cannot be served now so that it comes back."""
    body = native.encode_refusal(error.message, last_event_id, jittered_retry_milliseconds())
    return Response(body, headers=STREAM_HEADERS)


def jittered_retry_milliseconds() -> int:
    """A reconnect time, spread so that the readers of a lost worker do not come all at once."""
    return jittered(RETRY_MILLISECONDS)


def jittered(milliseconds: int) -> int:
    """About so many milliseconds."""
    return int(milliseconds * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, keeps no secret


def answer_response(
    outcome: Done | Error | Cancelled | InputRequest | None, key: SessionKey, turn: int
) -> Response:
    """Answer a turn awaited as a whole."""
    headers = {"X-Session-Id": key.session_id, "X-Turn-Id": str(turn)}
    if isinstance(outcome, Done):
        body = TurnAnswer(outcome.session_id, outcome.turn_id, outcome.reply, outcome.usage)
        return json_response(body, headers=headers)
    response = error_response(_as_error(outcome, turn))
    response.headers.extend(headers)
    return response


def _as_error(
    outcome: Error | Cancelled | InputRequest | None, turn: int
) -> AgentHostError | Error:
    if isinstance(outcome, Error):
        return outcome
    if isinstance(outcome, InputRequest):
        details: dict[str, Any] = {
            "request_id": outcome.request_id,
            "prompt": outcome.prompt,
            "turn_id": str(turn),
        }
        if isinstance(outcome.schema, dict):
            details["schema"] = outcome.schema
        return RequestError("input_required", "The agent asks something; answer it.", details)
    reason = outcome.reason if isinstance(outcome, Cancelled) else "deleted"
    return RequestError(
        "cancelled", "The turn was cancelled.", {"reason": reason, "turn_id": str(turn)}
    )


def rfc3339(epoch_seconds: float) -> str:
    """A time as RFC 3339 writes it, in UTC."""
    moment = datetime.fromtimestamp(epoch_seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
