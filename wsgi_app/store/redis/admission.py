"""A turn's way in: first a place among its tenant's turns and sessions, then its session."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from wsgi_app.errors import RequestError, StoreUnavailable
from wsgi_app.store.redis.calls import Calls
from wsgi_app.store.redis.connect import Reply
from wsgi_app.store.redis.edge import Edge
from wsgi_app.store.redis.keys import decode_messages
from wsgi_app.store.refusals import TooManyStarts, refusal
from wsgi_app.store.values import BeginTurn, StartCount, StartRate, TurnBegun

#: How long a request waits for the places of others that are just being refused.
ADMISSION_SECONDS: Final = 0.2
ADMISSION_POLL_SECONDS: Final = 0.01


def begin_admitted(edge: Edge, calls: Calls, request: BeginTurn) -> TurnBegun:
    """See `Store.begin_turn`: a session's own refusal goes before the tenant's, but for the rate's.

    One round trip; two where the tenant's place and the session may lie on servers of a cluster.
    """
    try:
        answer, starts = _try(edge, calls, request)
    except RequestError as error:
        if not isinstance(error, StoreUnavailable):
            _give_back(edge, calls, request, counted=False)
        raise
    state = answer[0].decode()
    if state in ("started", "queued"):
        turn, history, *more = answer[1:]
        owner = more[1].decode() if len(more) > 1 else ""
        followed = bool(more and more[0])
        return TurnBegun(state, int(turn), decode_messages(history), starts, owner, followed)
    _give_back(edge, calls, request, counted=starts is not None)
    if state == "refused":
        code, *turn = [part.decode() for part in answer[1:]]
        raise refusal(code, turn=turn[0] if turn else None)
    return TurnBegun(state, int(answer[1]), decode_messages(answer[2]))


def _try(edge: Edge, calls: Calls, request: BeginTurn) -> tuple[Reply, StartCount | None]:
    """What ``lua/begin_turn.lua`` answers, and the count if this start is in it."""
    deadline = time.monotonic() + ADMISSION_SECONDS
    while True:
        steps = [calls.own_turn(request), calls.admit_turn(request)]
        steps += [calls.begin_admitted(request)] if edge.is_alone else []
        _, (code, created, window), *answers = edge.run_all(steps)
        starts = _count(window, request.rate) if request.rate else None
        refused: RequestError | None = None
        if starts is not None and code == b"rate_limited":
            refused = TooManyStarts(starts)
            if request.idempotency_key is None:
                raise refused
        elif code:
            refused = refusal(code.decode())
        if not answers:
            answers = [edge.run(calls.begin_turn(request, "" if refused else created.decode()))]
        [answer] = answers
        if answer[0] != b"unadmitted" or refused is None:
            return answer, None if refused else starts
        # A place that was taken a moment ago may be returned.
        if not created or time.monotonic() > deadline:
            raise refused
        time.sleep(ADMISSION_POLL_SECONDS)


def _give_back(edge: Edge, calls: Calls, request: BeginTurn, *, counted: bool) -> None:
    """Return the place, and the start, of which no turn came."""
    freed = calls.release_turns(request.key, [(request.run_id, request.worker_id)])
    if counted and request.rate:
        freed.append(calls.uncount_start(request.key.tenant, request.rate))
    edge.run_many(freed)


def _count(window: Sequence[int | bytes | None], rate: StartRate) -> StartCount:
    """Read a window, whose numbers are missing where nothing was counted."""
    before, before_ms, current, current_ms = (max(0, int(part or 0)) for part in window)
    # Kept for twice its length: a window is the current one, then the one before.
    current_left_ms = max(0, current_ms - 1000 * rate.window_seconds)
    return StartCount(before, before_ms / 1000, current, current_left_ms / 1000)
