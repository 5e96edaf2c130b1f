"""A turn that waits in its session's queue."""

from __future__ import annotations

from collections.abc import Callable

from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.errors import StoreUnavailable
from wsgi_app.events import CancelReason
from wsgi_app.store.base import Fence, Message, Store

#: How often a waiting turn asks whether it may start, when no signal says so.
CLAIM_SECONDS = 1.0


def wait_in_queue(
    store: Store, fence: Fence, wakeup: Wakeup, ended: Callable[[], bool]
) -> list[Message] | CancelReason | None:
    """Wait until the store lets a queued turn run.

    Returns the history that it starts with, or why it should be cancelled, or None once it has
    ended. ``wakeup`` is set when the turn before it may have ended. Raises Fenced when the store
    does not know the turn as one that waits here.
    """
    while not ended():
        try:
            claim = store.claim_turn(fence)
        except StoreUnavailable:
            pass  # its predecessor continues without the store too
        else:
            if claim.state == "started":
                return claim.history
            if claim.cancel is not None:
                return claim.cancel
        wakeup.wait(CLAIM_SECONDS)
    return None
