"""Why a store refuses a request: one text for each reason, whichever store it is."""

from __future__ import annotations

from typing import Final

from wsgi_app.errors import RequestError
from wsgi_app.store.values import StartCount

_MESSAGES: Final = {
    "idempotency_key_reused": "This Idempotency-Key was used for another request.",
    "session_busy": "A turn of this session is running.",
    "rate_limited": "This tenant has started too many turns; wait.",
    "queue_full": "Too many turns of this session are waiting.",
    "too_many_sessions": "This tenant has too many sessions.",
    "too_much_stored": "This tenant's sessions hold too many bytes; delete some of them.",
    "too_many_turns": "This tenant has too many turns at once.",
    "not_steerable": "No turn accepts the message: none is running, or it is about to end.",
    "too_many_steers": "This turn has received as many messages as it accepts.",
    "no_pending_input": "No such question is waiting for an answer.",
}
#: Reasons that clients know by another one's code.
_PUBLIC_CODES: Final = {"too_much_stored": "too_many_sessions", "too_many_steers": "queue_full"}


class TooManyStarts(RequestError):  # noqa: N818 - named as the reason, like the others
    """``rate_limited``: a start beyond the tenant's rate; ``starts`` are those that count."""

    def __init__(self, starts: StartCount) -> None:
        super().__init__("rate_limited", _MESSAGES["rate_limited"])
        self.starts = starts


def refusal(code: str, *, turn: str | None = None) -> RequestError:
    """The error for one of a store's reasons; ``turn`` is the one that keeps the session busy."""
    return RequestError(
        _PUBLIC_CODES.get(code, code), _MESSAGES[code], None if turn is None else {"turn_id": turn}
    )
