"""Errors in OpenAI's shape."""

from __future__ import annotations

from typing import Any, Final

from wsgi_app.errors import STATUS_BY_CODE

#: HTTP statuses that OpenAI itself uses for what has another one in the native wire.
STATUSES: Final = {**STATUS_BY_CODE, "invalid_request": 400, "idempotency_key_reused": 400}
_TYPE_BY_STATUS: Final = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_FIRST_SERVER_ERROR: Final = 500


def error_object(
    code: str, message: str, details: dict[str, Any], status: int, *, retryable: bool = True
) -> dict[str, Any]:
    """Make the document that both SDKs take apart: its ``error`` has all of its four fields.

    Clients repeat what is called a server's error (opencode five times, whatever the status): one
    that will come again is not called so.
    """
    field, reason = details.get("field"), details.get("reason")
    if code == "invalid_request" and isinstance(reason, str):
        message = f"{message} {reason}."
    is_servers = retryable and status >= _FIRST_SERVER_ERROR
    kind = "server_error" if is_servers else "invalid_request_error"
    return {
        "error": {
            "message": message,
            "type": _TYPE_BY_STATUS.get(status, kind),
            "param": field if isinstance(field, str) else None,
            "code": code,
        }
    }
