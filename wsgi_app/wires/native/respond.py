"""What the host's own routes answer: encoders of streams, and turns awaited as a whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from flask import Response

from wsgi_app.delivery.many_feeds import SessionEvent
from wsgi_app.delivery.pump import Encoder
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.events import (
    Cancelled,
    Done,
    Error,
    Gap,
    InputRequest,
    MarkedEvent,
    NumberedEvent,
    ToolRequest,
)
from wsgi_app.store.base import SessionKey
from wsgi_app.web.envelope import error_response, json_response
from wsgi_app.web.respond import STREAM_HEADERS
from wsgi_app.wires.agentflow import encode as agentflow
from wsgi_app.wires.native import encode as native
from wsgi_app.wires.native.answers import TurnAnswer
from wsgi_app.wires.native.options import StreamOptions

RETRY_MILLISECONDS: Final = 2000
#: For streams that are answered in bursts.
BURST_RETRY_MILLISECONDS: Final = 400


def native_encoder(options: StreamOptions, burst_seconds: float | None = None) -> Encoder:
    """The encoder that the request names; its first frame carries the reconnect time.

    ``burst_seconds``: how long the stream continues at most, for a client that comes back then.
    """
    retry: int | None = jittered(
        RETRY_MILLISECONDS if burst_seconds is None else BURST_RETRY_MILLISECONDS
    )
    make_frame: Callable[..., bytes] = native.encode_frame
    if options.marked_ids and options.names == "native":
        make_frame = _marked_frames(options)
    elif options.names == "agentflow":
        make_frame = agentflow.encode_frame
    elif options.named:
        make_frame = partial(native.encode_frame, named=True)

    def encode(numbered: NumberedEvent) -> bytes:
        nonlocal retry
        if retry is None:
            made = make_frame(numbered)
        else:
            made = make_frame(numbered, retry_milliseconds=retry)
            retry = None
        return native.mark_comment(numbered) + made if options.marks else made

    return encode


def _marked_frames(options: StreamOptions) -> Callable[..., bytes]:
    """What makes frames whose ids have the marks of their runs."""
    mark = options.mark

    def make_frame(numbered: NumberedEvent, *, retry_milliseconds: int | None = None) -> bytes:
        nonlocal mark
        if isinstance(numbered, MarkedEvent):
            mark = numbered.mark
        # A gap stands before its run's mark.
        own = "" if isinstance(numbered.event, Gap) else mark
        return native.encode_frame(
            numbered, named=options.named, retry_milliseconds=retry_milliseconds, mark=own
        )

    return make_frame


def many_encoder(options: StreamOptions) -> Encoder:
    """The native wire's encoder for many sessions; its first frame carries the reconnect time.

    The ids are cursors, with marks for who asks for them: an EventSource gives them back so.
    """
    retry: int | None = jittered(RETRY_MILLISECONDS)

    def encode(numbered: NumberedEvent) -> bytes:
        nonlocal retry
        of_session = cast("SessionEvent", numbered)  # what ManyFeeds reads
        made = native.encode_session_frame(
            numbered,
            of_session.session_id,
            ",".join(str(one if options.marks else one.position) for one in of_session.cursors),
            named=options.named,
            retry_milliseconds=retry,
        )
        retry = None
        return made

    return encode


def refused_event_source(error: RequestError, last_event_id: str) -> Response:
    """Answer an EventSource that cannot be served now so that it comes back."""
    body = native.encode_refusal(error.message, last_event_id, jittered(RETRY_MILLISECONDS))
    return Response(body, headers=STREAM_HEADERS)


def jittered(milliseconds: int) -> int:
    """About so many: the readers of a lost worker must not come back all at once."""
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
        if isinstance(outcome, ToolRequest):
            details["calls"] = outcome.calls
        return RequestError("input_required", "The agent asks something; answer it.", details)
    reason = outcome.reason if isinstance(outcome, Cancelled) else "deleted"
    return RequestError(
        "cancelled", "The turn was cancelled.", {"reason": reason, "turn_id": str(turn)}
    )
