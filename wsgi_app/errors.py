"""The error tree: everything this package raises on purpose.

AgentHostError                what a caller over HTTP may see: code, status, message
├── RequestError              the request is refused (docs/http.md)
├── TurnError                 how a turn can end: becomes an ``error`` event
│   └── UpstreamError         the model provider failed
├── StoreUnavailable          the store did not answer in time
└── MemoryUnavailable         what an agent remembers could not be forgotten
ConfigError                   a setting is malformed: stops the start
Fenced                        this worker's turn is no longer the session's current one
TurnCancelled                 raised inside agent code once its turn has ended
"""

from __future__ import annotations

from typing import Any, Final

#: HTTP status of each error code, for requests refused and for turns awaited in JSON mode.
STATUS_BY_CODE: Final[dict[str, int]] = {
    "invalid_json": 400,
    "previous_response_not_found": 400,
    "websocket_connection_limit_reached": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "session_busy": 409,
    "no_pending_input": 409,
    "not_steerable": 409,
    "input_required": 409,
    "cancelled": 409,
    "length_required": 411,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "idempotency_key_reused": 422,
    "rate_limited": 429,
    "queue_full": 429,
    "too_many_turns": 429,
    "too_many_sessions": 429,
    "too_many_readers": 429,
    "too_many_files": 429,
    "internal_error": 500,
    "agent_error": 500,
    "step_limit": 500,
    "output_too_large": 500,
    "upstream_error": 502,
    "at_capacity": 503,
    "draining": 503,
    "store_unavailable": 503,
    "worker_lost": 503,
    "worker_shutdown": 503,
    "turn_timeout": 504,
}

#: What agents and their providers may end a turn with; the host has codes of its own.
TURN_ERROR_CODES: Final = (
    "agent_error",
    "upstream_error",
    "turn_timeout",
    "step_limit",
    "output_too_large",
)


class AgentHostError(Exception):
    """An error that a client may see; ``message`` must never hold a secret or foreign text."""

    def __init__(
        self,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}

    @property
    def status(self) -> int:
        """The HTTP status that fits the code."""
        return STATUS_BY_CODE[self.code]


class RequestError(AgentHostError):
    """The request is refused; nothing was started."""

    def __init__(
        self,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        retry_after_seconds: int = 1,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code, message, details)
        self.retry_after_seconds = retry_after_seconds
        self.headers = headers or {}


def draining() -> RequestError:
    """The refusal of a worker that is about to leave."""
    return RequestError("draining", "This worker is about to leave; try again.")


class StoreUnavailable(RequestError):
    """The store did not answer within its time limit, or refused.

    ``reason`` is for those who look after the service, '' where there is nothing to say.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__("store_unavailable", "The session store does not answer; try again.")
        self.reason = reason


class MemoryUnavailable(RequestError):
    """What an agent remembers of a session by itself could not be forgotten."""

    def __init__(self) -> None:
        message = "The agent's memory does not answer; the session may still be there. Try again."
        super().__init__("store_unavailable", message)


class TurnError(AgentHostError):
    """Ends the turn with an ``error`` event; agents may raise it.

    ``code`` is one of TURN_ERROR_CODES, ``details`` a JSON object.
    """

    def __init__(
        self,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        code: str = "agent_error",
        retryable: bool = False,
    ) -> None:
        if code not in TURN_ERROR_CODES:
            raise ValueError(f"a turn cannot end with the code {code!r}")
        super().__init__(code, message, details)
        self.retryable = retryable


class CannotGoOn(TurnError):
    """A turn of a worker that is gone cannot be continued; ``hint`` says to the site why."""

    def __init__(self, hint: str) -> None:
        message = "The worker that ran this turn is gone."
        AgentHostError.__init__(self, "worker_lost", message, {"hint": hint})
        self.retryable = True


class UpstreamError(TurnError):
    """The model provider failed; ``details`` holds its HTTP status if there was one."""

    def __init__(
        self,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        retryable: bool = True,
    ) -> None:
        super().__init__(message, details, code="upstream_error", retryable=retryable)


class ConfigError(Exception):
    """A setting is malformed or unknown; the message names it."""


class Fenced(Exception):
    """The (turn, run id) pair is not the session's current one: nothing was written."""


class TurnCancelled(BaseException):
    """Raised in agent code whose turn has ended.

    A ``BaseException``, like ``asyncio.CancelledError``, so that an agent's
    ``except Exception`` does not swallow it.
    """
