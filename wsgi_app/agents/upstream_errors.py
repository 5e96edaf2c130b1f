"""What the model provider did wrong, without its own text, which may hold secrets."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

from wsgi_app.agents.refusal_reasons import CONTEXT_FULL, FILTERED, refusal_reason
from wsgi_app.errors import UpstreamError

if TYPE_CHECKING:
    import openai
    from typing_extensions import TypeIs

#: Statuses below 500 after which the same request may succeed, as the openai package judges them.
_RETRYABLE_STATUSES: Final = frozenset({408, 409, 429})
_BAD_REQUEST: Final = 400
_FIRST_SERVER_ERROR: Final = 500
_HTTP_ERRORS: Final = range(400, 600)
#: What OpenAI's APIs call the failures that may pass, and some servers write a status as text.
_STATUS_OF_CODE: Final = {"server_error": 500, "rate_limit_exceeded": 429}
_STATUS_TEXT: Final = re.compile(r"\d{3}", re.ASCII)


class BrokenOffError(UpstreamError):
    """The answer stopped before its end, or reported an error: another request may get a whole one.

    So it is asked for again while nothing came of it, and the provider has counted nothing.
    """


class ContextFullError(UpstreamError):
    """The conversation does not fit into the model: a shorter one may."""

    def __init__(self, status: int) -> None:
        super().__init__(
            "The conversation is too long for the model.",
            {"status": status, "reason": CONTEXT_FULL},
            retryable=False,
        )


class UnusableAnswerError(BrokenOffError):
    """The answer came to its end and is none: it is asked for again while the user saw nothing."""


def malformed_answer() -> UpstreamError:
    """The error for data that is no answer of a model."""
    return UpstreamError("The model provider sent a malformed answer.")


def incomplete_answer() -> UpstreamError:
    """The error for an answer that stops before its end."""
    return BrokenOffError("The model provider's answer broke off.")


def missing_calls() -> UpstreamError:
    """The error for an answer that ends for its calls and holds none."""
    return UnusableAnswerError(
        "The model provider sent a malformed answer.", {"finish_reason": "tool_calls"}
    )


def missing_answer() -> UpstreamError:
    """The error for an answer without text and calls, whatever the model thought."""
    return UnusableAnswerError("The model gave no answer.", {"finish_reason": "stop"})


def failed_request() -> UpstreamError:
    """The error for a request that was not sent, and never will be."""
    return UpstreamError("The request to the model provider failed.", retryable=False)


#: What distinguishes an answer at the length limit.
CUT_OFF_DETAILS: Final = {"finish_reason": "length"}


def cut_answer() -> UpstreamError:
    """The error for an answer of which the model's length limit left nothing to use."""
    return UpstreamError(
        "The model reached its length limit before its answer was complete.",
        dict(CUT_OFF_DETAILS),
        retryable=False,
    )


def filtered_answer() -> UpstreamError:
    """The error for an answer that the provider itself stopped."""
    return UpstreamError(
        "The model provider's content filter stopped the answer.",
        {"finish_reason": "content_filter"},
        retryable=False,
    )


def status_error(status: int, body: Any = None) -> UpstreamError:
    """The error for an HTTP status, which ``details`` names, and for the reason in its body."""
    reason = refusal_reason(status, body)
    if reason == CONTEXT_FULL:
        return ContextFullError(status)
    if reason == FILTERED:
        return UpstreamError(
            "The model provider's content filter refused the request.",
            {"status": status, "reason": FILTERED},
            retryable=False,
        )
    return UpstreamError(
        f"The model provider answered with status {status}.",
        {"status": status},
        retryable=status in _RETRYABLE_STATUSES or status >= _FIRST_SERVER_ERROR,
    )


def reported_error(error: Any, *codes: Any) -> UpstreamError:
    """The error for one that was reported in an answer.

    ``error`` is the error object, if it is one; the first code that is a status counts.
    """
    if isinstance(error, dict):
        codes = error.get("status"), error.get("code"), *codes
    statuses = [status for status in map(_status_of, codes) if status in _HTTP_ERRORS]
    if statuses or refusal_reason(_BAD_REQUEST, error):
        upstream = status_error(statuses[0] if statuses else _BAD_REQUEST, error)
        return (
            BrokenOffError(upstream.message, upstream.details) if upstream.retryable else upstream
        )
    return BrokenOffError("The model provider reported an error.")


def _status_of(code: Any) -> int:
    if isinstance(code, str):
        known = _STATUS_OF_CODE.get(code)
        return known or int(code if _STATUS_TEXT.fullmatch(code) else 0)
    return code if isinstance(code, int) else 0


def is_openai_error(error: BaseException) -> TypeIs[openai.OpenAIError]:
    """Whether the openai package raised it, which frameworks may use or not."""
    package = sys.modules.get("openai")
    return package is not None and isinstance(error, package.OpenAIError)


def is_lost_connection(error: BaseException) -> bool:
    """Whether the openai package raised it for its connection."""
    package = sys.modules.get("openai")
    return package is not None and isinstance(error, package.APIConnectionError)


def from_openai(error: openai.OpenAIError) -> UpstreamError:
    """The error for one that the openai package raised."""
    import openai  # noqa: PLC0415 - it is loaded; others use this module without it

    if isinstance(error, openai.APIStatusError):
        return status_error(error.status_code, error.body)
    if isinstance(error, openai.APIConnectionError):
        return UpstreamError("The model provider does not answer.")
    if isinstance(error, openai.APIError):
        return reported_error(error.body, error.code)
    return failed_request()


def describe(error: UpstreamError) -> str:
    """One line for the log: what happened and why, without the provider's text."""
    parts = [error.message]
    cause = error.__cause__
    if cause is not None:
        parts.append(type(cause).__name__)
    if cause is not None and is_openai_error(cause) and hasattr(cause, "request_id"):
        parts.append(f"code {cause.code!r}, request id {cause.request_id!r}")  # type: ignore[attr-defined] # an APIStatusError
    if type(cause).__name__ == "AuthenticationError":
        parts.append("(check OPENAI_API_KEY, and OPENAI_BASE_URL)")
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
        parts.append(f"because of {type(cause).__name__}")
    return " ".join(parts)
