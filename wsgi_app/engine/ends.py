"""How a turn ends when it fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from wsgi_app.engine.history import answer_messages
from wsgi_app.errors import TurnError
from wsgi_app.events import LOST_SEQ, Error, EventId, decode_event, encode_event
from wsgi_app.store.base import Fence, Message, Store

log = logging.getLogger("wsgi_app")

AGENT_ERROR = Error("agent_error", "The agent failed.")
TURN_TIMEOUT = Error("turn_timeout", "The turn took too long.", {}, retryable=True)
WORKER_LOST = Error("worker_lost", "The worker that ran this turn is gone.", {}, retryable=True)
WORKER_LOST_JSON = encode_event(WORKER_LOST)
OUTPUT_TOO_LARGE = Error("output_too_large", "The turn's output exceeds its limit.")


def as_error(error: TurnError) -> Error:
    """The event that an agent's error describes, if it is one that can be sent."""
    event = Error(error.code, error.message, error.details, error.retryable)
    try:
        decode_event(encode_event(event))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        log.exception("an agent raised an error that is not JSON")
        return AGENT_ERROR
    return event


def lost_messages(events: Sequence[bytes]) -> list[Message]:
    """What a lost turn adds to the history: what its journal holds, calls without results too."""
    return answer_messages(map(decode_event, events), WORKER_LOST)


def was_lost(store: Store, fence: Fence) -> bool:
    """Whether another worker has ended this turn as lost; raises StoreUnavailable."""
    found = store.read(fence.key, EventId(fence.turn, LOST_SEQ - 1), 1)
    return found is not None and bool(found.events) and found.events[0][0].seq == LOST_SEQ
