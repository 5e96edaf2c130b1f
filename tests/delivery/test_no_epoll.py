"""A system that has no epoll, as macOS: every stream works, and the start says what is slower."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import WORKER_CLASS, gunicorn

APP = "tests.support.no_epoll_app:app"
TRIES = 3


@pytest.mark.parametrize("delivery", [None, "auto"])
def test_a_hang_up_is_noticed_within_a_second(delivery: str | None) -> None:
    """Without epoll sockets are asked, streams take threads, and the log says so."""
    env = {"AGENT_ORPHAN_SECONDS": "0"}
    with gunicorn(APP, env=env, delivery=delivery, worker_class=WORKER_CLASS) as server:
        client = ReadingClient(server)
        with client.chat("whole", {"tokens": 3}) as stream:
            assert [frame.data["type"] for frame in stream][-1] == "done"
        delays = []
        for number in range(TRIES):
            gone = client.chat(f"gone-{number}", {"text": "a"}, {"hold": True})
            assert gone.until("token")
            left_at = time.monotonic()
            gone.abort() if number % 2 else gone.close()
            delays.append(wait_observed(server, "cancelled", f"gone-{number}") - left_at)
        assert statistics.median(delays) < 1, delays
        assert server.log().count("has no epoll") == 1
