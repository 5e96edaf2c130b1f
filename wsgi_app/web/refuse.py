"""Turns what a view raised into its wire's answer."""

from __future__ import annotations

import logging
from typing import Final

from flask import Response, g, request
from werkzeug.exceptions import HTTPException

from wsgi_app.auth import LoginFailed
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.metrics import metrics
from wsgi_app.web.body import DISCARD_SECONDS, HASTY_SECONDS, discard_body, has_body
from wsgi_app.web.current import current_mount
from wsgi_app.web.envelope import HAS_RETRY_AFTER, OWN, Envelope
from wsgi_app.web.site_errors import as_site_error

log = logging.getLogger("wsgi_app")

_CODE_BY_STATUS: Final = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "at_capacity",
}
_FIRST_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500


def exception_response(error: Exception) -> Response:
    """Answer for anything that a view raised, without showing its text."""
    _discard_body()
    envelope: Envelope = g.get("wsgi_app_errors", OWN)
    if isinstance(error, LoginFailed):
        error = as_site_error(error.cause, exception_response) or error.cause
    if isinstance(error, HTTPException):
        return _http_error_response(error, envelope)
    if not isinstance(error, AgentHostError):
        log.error("a request failed", exc_info=error)
        error = RequestError("internal_error", "The request failed.")
    count_refused(error.code)
    return envelope.make(error)


def _discard_body() -> None:
    """Read a refused body; waiting for a slow one needs a permit."""
    permit = current_mount().take_permit() if has_body(request) else None
    try:
        discard_body(request, DISCARD_SECONDS if permit else HASTY_SECONDS)
    finally:
        if permit is not None:
            permit.give_back()


def count_refused(code: str) -> None:
    """Count a request that is refused, whatever the shape of its answer."""
    metrics(current_mount().settings.host).refused.labels(code).inc()


def _http_error_response(error: HTTPException, envelope: Envelope) -> Response:
    """Answer for an error of werkzeug's, or of the site's own code."""
    status = error.code if error.response is None else error.response.status_code
    if status is None or status < _FIRST_ERROR:
        status = 500
    other = "invalid_request" if status < _FIRST_SERVER_ERROR else "internal_error"
    code = _CODE_BY_STATUS.get(status, other)
    count_refused(code)
    response = envelope.make(RequestError(code, error.name))
    response.status_code = status
    headers = dict(error.get_headers())
    headers.pop("Content-Type", None)
    response.headers.update(headers)
    if status in HAS_RETRY_AFTER:
        response.headers.setdefault("Retry-After", "1")
    return response
