"""JSON answers, and the shapes of the wires' refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from flask import Response

from wsgi_app.errors import STATUS_BY_CODE, AgentHostError, RequestError
from wsgi_app.events import Error, encode_json
from wsgi_app.web.answers import ErrorBody

HAS_RETRY_AFTER: Final = (429, 503)
_SERVER_ERROR: Final = 500


class Envelope(NamedTuple):
    """The shape of a wire's refusals."""

    make: Callable[[AgentHostError], Response]
    #: The type of the JSON document; None for plain text.
    kind: Any
    #: The names of the objects in it that hold the code.
    around_code: tuple[str, ...] = ()
    #: The status of each code.
    statuses: Mapping[str, int] = STATUS_BY_CODE


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a JSON document."""
    response = Response(encode_json(value), status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.extend(headers or {})
    return response


def error_response(error: AgentHostError | Error, extra: dict[str, Any] | None = None) -> Response:
    """Answer with an error in the host's own shape."""
    body = {"code": error.code, "message": error.message, "details": error.details, **(extra or {})}
    return json_response(body, error_status(error), error_headers(error))


def error_status(error: AgentHostError | Error) -> int:
    """The HTTP status of an error."""
    return STATUS_BY_CODE.get(error.code, _SERVER_ERROR)


def error_headers(error: AgentHostError | Error) -> dict[str, str]:
    """The headers that an error's answer carries in any wire."""
    headers = dict(error.headers) if isinstance(error, RequestError) else {}
    if error_status(error) in HAS_RETRY_AFTER:
        seconds = error.retry_after_seconds if isinstance(error, RequestError) else 1
        headers["Retry-After"] = str(seconds)
    return headers


#: The host's own: code, message and details.
OWN: Final = Envelope(error_response, ErrorBody)
