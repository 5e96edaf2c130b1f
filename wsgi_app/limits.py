"""How much: the rate at which a tenant may start turns."""

from __future__ import annotations

import math
import re
from typing import Final

from msgspec import Struct

from wsgi_app.errors import RequestError
from wsgi_app.store.base import StartCount, StartRate

#: The names of draft-ietf-httpapi-ratelimit-headers-06, sections 4.1 to 4.3: its later versions
#: put all in one structured field, which clients do not read yet.
LIMIT_HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


_RATE: Final = re.compile(r"\s*(\d+)\s*(?:/|per)\s*(\d*)\s*([a-z]+?)s?\s*")
_DAY_SECONDS: Final = 24 * 60 * 60
_SECONDS: Final = {
    "second": 1,
    "minute": 60,
    "hour": 60 * 60,
    "day": _DAY_SECONDS,
    "month": 30 * _DAY_SECONDS,
    "year": 360 * _DAY_SECONDS,
}


def parse_rate(rate_limit: str) -> StartRate:
    """Read AGENT_RATE_LIMIT, such as ``60/minute``, ``60 per 5 minutes``; raises ValueError."""
    parts = _RATE.fullmatch(rate_limit)
    if parts is None or parts[3] not in _SECONDS:
        raise ValueError(f"expected a rate such as 60/minute, not {rate_limit!r}")
    return StartRate(int(parts[1]), _SECONDS[parts[3]] * (int(parts[2] or 1) or 1))


class Quota(Struct, frozen=True):
    """What one start left of its tenant's limit."""

    count: StartCount
    rate: StartRate

    def headers(self) -> dict[str, str]:
        """What the start's answer says about the limit."""
        limit, window_seconds = self.rate
        share = self.count.before_left_seconds / window_seconds
        taken = math.floor(self.count.before * share) + self.count.current
        remaining = max(0, limit - taken)
        reset_seconds = window_seconds if remaining else self._wait_seconds()
        return {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(remaining),
            "RateLimit-Reset": str(reset_seconds),
        }

    def refusal(self) -> RequestError:
        """The error for a start beyond the limit."""
        return RequestError(
            "rate_limited",
            "This tenant has started too many turns; wait.",
            {"limit": self.rate.amount, "window_seconds": self.rate.window_seconds},
            retry_after_seconds=self._wait_seconds(),
        )

    def _wait_seconds(self) -> int:
        """How long until there is room for one more start, at least a second."""
        now, (limit, window_seconds) = self.count, self.rate
        if now.current < limit:
            # Starts of the window before leave evenly, until what is left of them fits.
            fitting = (limit - now.current) * window_seconds / max(1, now.before)
            seconds = now.before_left_seconds - fitting
        else:
            leaving = window_seconds * (1 - limit / max(1, now.current))
            seconds = now.current_left_seconds + leaving
        return max(1, math.ceil(seconds))
