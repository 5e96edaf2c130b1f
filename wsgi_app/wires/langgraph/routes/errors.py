"""What is refused, in the shape that LangGraph's clients take apart."""

from __future__ import annotations

from typing import Final

from flask import Response

from wsgi_app.errors import STATUS_BY_CODE, AgentHostError
from wsgi_app.web.envelope import Envelope, error_headers, error_status, json_response
from wsgi_app.wires.langgraph.describe import Refusal

#: Where the protocol has another status than the native wire.
STATUSES: Final = {**STATUS_BY_CODE, "invalid_request": 400}


def refusal(error: AgentHostError) -> Response:
    """Answer a refusal."""
    reason = error.details.get("reason")
    message = f"{error.message} {reason}." if isinstance(reason, str) else error.message
    body = {
        "type": "error",
        "id": None,
        "error": "invalid_argument" if error.code == "invalid_request" else "unknown_error",
        "code": error.code,
        "message": message,
        "detail": message,
        "details": error.details,
    }
    status = STATUSES.get(error.code, error_status(error))
    return json_response(body, status, error_headers(error))


ERRORS: Final = Envelope(refusal, Refusal, (), STATUSES)
