"""How much: the rate at which a tenant may start turns."""

from __future__ import annotations

import math
from typing import Final

from limits import parse

from wsgi_app.errors import RequestError
from wsgi_app.store.base import StartCount, StartRate

#: The names of draft-ietf-httpapi-ratelimit-headers-06, sections 4.1 to 4.3: its later versions
#: put all in one structured field, which clients do not read yet.
LIMIT_HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def parse_rate(rate_limit: str) -> StartRate:
    """Read AGENT_RATE_LIMIT, such as ``60/minute``."""
    limit = parse(rate_limit)
    return StartRate(limit.amount, limit.get_expiry())


class Quota:
    """What one start left of its tenant's limit."""

    def __init__(self, count: StartCount, rate: StartRate) -> None:
        self._count = count
        self._limit, self._window_seconds = rate

    def headers(self) -> dict[str, str]:
        """What the start's answer tells of the limit."""
        reset_seconds = self._wait_seconds() if self._remaining() == 0 else self._window_seconds
        return {
            "RateLimit-Limit": str(self._limit),
            "RateLimit-Remaining": str(self._remaining()),
            "RateLimit-Reset": str(reset_seconds),
        }

    def refusal(self) -> RequestError:
        """The error for a start beyond the limit."""
        return RequestError(
            "rate_limited",
            "This tenant has started too many turns; wait.",
            {"limit": self._limit, "window_seconds": self._window_seconds},
            retry_after_seconds=self._wait_seconds(),
        )

    def _remaining(self) -> int:
        share = self._count.before_left_seconds / self._window_seconds
        return max(0, self._limit - math.floor(self._count.before * share) - self._count.current)

    def _wait_seconds(self) -> int:
        """How long until there is room for one more start, at least a second."""
        now, limit = self._count, self._limit
        if now.current < limit:
            # Starts of the window before leave evenly, until what is left of them fits.
            fitting = (limit - now.current) * self._window_seconds / max(1, now.before)
            seconds = now.before_left_seconds - fitting
        else:
            leaving = self._window_seconds * (1 - limit / max(1, now.current))
            seconds = now.current_left_seconds + leaving
        return max(1, math.ceil(seconds))
