"""What the model provider did wrong, without its own text, which may hold secrets."""

from __future__ import annotations

from typing import Any, Final

import openai

from wsgi_app.errors import UpstreamError

#: Statuses below 500 after which the same request may succeed, as the openai package judges them.
_RETRYABLE_STATUSES: Final = frozenset({408, 409, 429})
_FIRST_SERVER_ERROR: Final = 500
_HTTP_ERRORS: Final = range(400, 600)


def malformed_answer() -> UpstreamError:
    """The error for data that is no chat completion."""
    return UpstreamError("The model provider sent a malformed answer.")


def incomplete_answer() -> UpstreamError:
    """The error for an answer that stops before its end."""
    return UpstreamError("The model provider's answer broke off.")


def status_error(status: int) -> UpstreamError:
    """The error for an HTTP status, which ``details`` names."""
    return UpstreamError(
        f"The model provider answered with status {status}.",
        {"status": status},
        retryable=status in _RETRYABLE_STATUSES or status >= _FIRST_SERVER_ERROR,
    )


def reported_error(*codes: Any) -> UpstreamError:
    """The error for one that was reported in mid-answer; the first code that is a status counts."""
    for code in codes:
        if isinstance(code, int) and code in _HTTP_ERRORS:
            return status_error(code)
    return UpstreamError("The model provider reported an error in the middle of its answer.")


def from_openai(error: openai.OpenAIError) -> UpstreamError:
    """The error for one that the openai package raised."""
    if isinstance(error, openai.APIStatusError):
        return status_error(error.status_code)
    if isinstance(error, openai.APIConnectionError):
        return UpstreamError("The model provider does not answer.")
    return UpstreamError("The request to the model provider failed.", retryable=False)


def describe(error: UpstreamError) -> str:
    """One line for the log: what happened and why, without the provider's text."""
    parts = [error.message]
    cause = error.__cause__
    if cause is not None:
        parts.append(type(cause).__name__)
    if isinstance(cause, openai.APIStatusError):
        parts.append(f"code {cause.code!r}, request id {cause.request_id!r}")
    if cause is not None and cause.__cause__ is not None:
        parts.append(f"because of {type(cause.__cause__).__name__}")
    return " ".join(parts)
