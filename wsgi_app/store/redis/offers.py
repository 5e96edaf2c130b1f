"""Offered turns in Redis."""

from __future__ import annotations

from wsgi_app.errors import Fenced
from wsgi_app.store.offers import Offers, Taken
from wsgi_app.store.redis.calls import Calls
from wsgi_app.store.redis.edge import Edge
from wsgi_app.store.redis.keys import decode_messages, worker_member
from wsgi_app.store.values import Fence


class RedisOffers(Offers):
    """Used by any thread; has no state of its own."""

    def __init__(self, edge: Edge, calls: Calls) -> None:
        self._edge = edge
        self._calls = calls

    def offer(self, fence: Fence, worker_id: str, request: bytes) -> None:
        """See `Offers.offer`."""
        reply = self._edge.run(self._calls.fenced("offer_turn", fence, worker_id, request))
        if reply == b"fenced":
            raise Fenced

    def take(self, fence: Fence, worker_id: str, *, offered: bool) -> Taken | None:
        """See `Offers.take`."""
        member = worker_member(fence.key, fence.run_id)
        if not offered:
            # First: a turn that is taken has an owner at every moment.
            self._edge.run(self._calls.workers("own_turn", [worker_id], member))
        was_offered = b"1" if offered else b"0"
        reply = self._edge.run(self._calls.fenced("take_turn", fence, worker_id, was_offered))
        request, before, state, history = reply if reply != b"fenced" else (None, b"", b"", [])
        loser = before.decode() if request else worker_id
        if not offered and (request or before.decode() != worker_id):
            self._edge.run_many([self._calls.workers("disown_turn", [loser], member)])
        if reply == b"fenced":
            raise Fenced
        runs = state == b"running"
        return Taken(request, decode_messages(history) if runs else None) if request else None
