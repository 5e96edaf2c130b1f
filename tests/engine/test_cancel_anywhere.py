"""A cancel sent to any worker of any host ends the turn and its call to the provider."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.support.service import Service, service
from tests.support.sse import Frame, Stream
from tests.support.upstream import Request, Upstream
from tests.support.upstream_script import Text, scripted_message
from tests.support.waiting import wait_for

PACE_SECONDS = 0.05
TOKENS = tuple(f"w{number} " for number in range(1200))  # a minute: longer than the test
CLOSED_SECONDS = 0.1


def test_cancels_on_any_worker_close_the_call() -> None:
    """Cancelled on a random worker, the call to the provider is closed within 100 ms."""
    delays = cancel_all(10)
    assert delays[len(delays) // 2] < CLOSED_SECONDS, delays


@pytest.mark.slow
def test_sixty_turns_cancelled_on_any_worker() -> None:
    """The same with 60 turns at once, at p99."""
    delays = cancel_all(60)
    assert delays[int(len(delays) * 0.99) - 1] < CLOSED_SECONDS, delays


def cancel_all(turns: int) -> list[float]:
    """Start turns through nginx and cancel each on a random host.

    Returns how long it took from each cancel to the close of its call, sorted; checks that every
    stream ends with `cancelled`.
    """
    with Upstream() as upstream, ExitStack() as stack:
        shared = stack.enter_context(service("wsgi_app:app", env=upstream.environment, prefix=""))
        streams = {
            f"s-{number}": stack.enter_context(start_turn(shared, f"s-{number}"))
            for number in range(turns)
        }
        with ThreadPoolExecutor(turns) as pool:
            ends = [pool.submit(read_end, stream) for stream in streams.values()]
            wait_for(lambda: len(upstream.requests) == turns, "all calls to the provider", 30)
            calls = {session_of(request): request for request in upstream.requests}
            delays = [cancel_one(shared, calls[session], session) for session in streams]
            for end in ends:
                assert end.result(30).data == {"type": "cancelled", "reason": "user"}
    return sorted(delays)


def start_turn(shared: Service, session: str) -> Stream:
    """Start a turn whose model goes on for longer than the test."""
    message = scripted_message([Text(TOKENS, PACE_SECONDS)], tag=session)
    return shared.client.stream("POST", f"/chat/{session}", {"message": message}, seconds=30)


def session_of(request: Request) -> str:
    """The tag in the scripted message of a call."""
    content = request.body["messages"][-1]["content"]
    return str(content.split('"tag":"')[1].split('"')[0])


def cancel_one(shared: Service, call: Request, session: str) -> float:
    """Cancel on a random host; returns how long the provider's connection stayed open."""
    began = time.monotonic()
    answer = random.choice(shared.direct).cancel(session)  # noqa: S311 - no secret
    assert answer == {"ok": True, "cancelled": True, "turn_id": "1"}
    return call.connection.wait_closed() - began


def read_end(stream: Stream) -> Frame:
    """Read a stream to its end; returns the last event."""
    return list(stream)[-1]
