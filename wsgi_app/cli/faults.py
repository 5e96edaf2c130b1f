"""What can go wrong between this program and a host, in words for people."""

from __future__ import annotations

from typing import Any, Final

#: Refusals that may not be repeated a little later; proxies answer with 502 and 504 too.
PASSING_STATUSES: Final = frozenset({429, 502, 503, 504})
#: Nobody watches a terminal that waits for longer.
LONGEST_WAIT_SECONDS: Final = 30.0


class HostError(Exception):
    """The host did not do what it was asked; the message holds no secret."""

    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}

    @property
    def retry_after_seconds(self) -> float:
        """How long the host asks to wait; 0 when it says nothing."""
        return 0.0

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a little later."""
        return False


class ConnectionLost(HostError):  # noqa: N818 - a fact about the network, as in the error tree
    """There was no answer, or it broke off."""

    def __init__(self, message: str) -> None:
        super().__init__("connection_lost", message)

    @property
    def retryable(self) -> bool:
        """A connection can always be made again."""
        return True


class Refused(HostError):  # noqa: N818 - the same
    """The host, or a proxy in front of it, answered and said no."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(code, message, details)
        self.status = status
        self._retry_after_seconds = retry_after_seconds

    @property
    def retry_after_seconds(self) -> float:
        """What the Retry-After header says."""
        return self._retry_after_seconds

    @property
    def retryable(self) -> bool:
        """Whether it is a lack that ends by itself, and soon enough."""
        return self.status in PASSING_STATUSES and self._retry_after_seconds <= LONGEST_WAIT_SECONDS
