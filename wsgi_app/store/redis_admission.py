"""A turn's way in: first a place among its tenant's turns and sessions, then its session."""

from __future__ import annotations

import time
from typing import Final

from wsgi_app.store.redis_calls import Calls
from wsgi_app.store.redis_connect import Reply
from wsgi_app.store.redis_edge import Edge
from wsgi_app.store.values import BeginTurn

#: How long a request waits for the places of others that are just being refused.
ADMISSION_SECONDS: Final = 0.2
ADMISSION_POLL_SECONDS: Final = 0.01


def begin_admitted(edge: Edge, calls: Calls, request: BeginTurn) -> Reply:
    """What ``lua/begin_turn.lua`` answers: a session's own refusal goes before the tenant's.

    Raises StoreUnavailable.
    """
    if request.only_attaches:
        answer = edge.run(calls.begin_turn(request, ""))
        return [b"refused", b"rate_limited"] if answer[0] == b"unadmitted" else answer
    deadline = time.monotonic() + ADMISSION_SECONDS
    admission = [calls.own_turn(request), calls.admit_turn(request)]
    while True:
        code, created = edge.run_all(admission)[1]
        answer = edge.run(calls.begin_turn(request, "" if code else created.decode()))
        if answer[0] != b"unadmitted":
            return answer
        # A place that was taken a moment ago may be given back.
        if not created or time.monotonic() > deadline:
            return [b"refused", code]
        time.sleep(ADMISSION_POLL_SECONDS)
