"""How a turn ends when it fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from wsgi_app.engine.turn.history import answer_messages
from wsgi_app.engine.turn.steps import counted, number_events
from wsgi_app.errors import TurnError
from wsgi_app.events import Error, EventId, decode_event, encode_event
from wsgi_app.store.base import Fence, Message, Store

log = logging.getLogger("wsgi_app")

AGENT_ERROR = Error("agent_error", "The agent failed.")
TURN_TIMEOUT = Error("turn_timeout", "The turn took too long.", {}, retryable=True)
WORKER_LOST = Error("worker_lost", "The worker that ran this turn is gone.", {}, retryable=True)
WORKER_LOST_JSON = encode_event(WORKER_LOST)
#: Of a turn that several workers have had, one after the other: what it does may be the cause.
WORKERS_LOST = Error(
    "worker_lost",
    "Several workers that ran this turn are gone: it may be what ends them.",
    {"hint": "Look for what the turn's tools do to their process before it is sent again."},
)
WORKERS_LOST_JSON = encode_event(WORKERS_LOST)
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
    return answer_messages(counted(number_events(1, events)), WORKER_LOST)


def is_elsewhere(store: Store, fence: Fence) -> bool:
    """Whether another worker has ended a fenced turn as lost, or continues it.

    Raises StoreUnavailable.
    """
    begun = store.read(fence.key, EventId(fence.turn, 0), 1, fence.mark)
    return begun is not None and not begun.has_gap and begun.marks.get(fence.turn) == fence.mark
