"""A thousand streams in one gevent worker, and what else it serves meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.many_readers import many_readers
from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn

SESSIONS = 50
CONTROLS = 30
#: Medians: a machine under load may delay any single one.
CANCEL_SECONDS = 0.25
PAGE_SECONDS = 0.1


def median_seconds(do: Callable[[int], None]) -> float:
    """How long the middle one of some calls takes."""
    spent = []
    for number in range(CONTROLS):
        began_at = time.monotonic()
        do(number)
        spent.append(time.monotonic() - began_at)
    return statistics.median(spent)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("streams", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_control_lane_holds(streams: int) -> None:
    """Beside a crowd of streams cancels, health and a page of the site stay fast."""
    env = {
        "AGENT_MAX_TURNS_PER_TENANT": "1000",
        "AGENT_MAX_READERS_PER_TENANT": "10000",
        "AGENT_MAX_SLOTS_PER_TENANT": "10000",
        "AGENT_MAX_READERS_PER_TURN": "1000",
    }
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, threads=1400, env=env, worker_class="gevent") as server, ExitStack() as held:
        client, site = ReadingClient(server), ReadingClient(server, prefix="")
        for number in range(SESSIONS):
            stream = client.chat(f"crowd-{number}", {"text": "a"}, {"hold": True})
            assert held.enter_context(stream).until("token")
        for number in range(CONTROLS):
            stream = client.chat(f"ends-{number}", {"text": "a"}, {"hold": True})
            assert held.enter_context(stream).until("token")
        readers = held.enter_context(many_readers(server.port))
        paths = [f"/agents/chat/crowd-{n % SESSIONS}/events" for n in range(streams)]
        readers.ask(paths, "Authorization: Bearer dev", 60)
        readers.read_until(lambda body: b'"type":"token"' in body, 60)

        def cancel(number: int) -> None:
            assert client.cancel(f"ends-{number}")["cancelled"]

        def health(_: int) -> None:
            assert client.call("GET", "/healthz").status == 200

        def page(_: int) -> None:
            assert site.call("GET", "/page").body == b"a page of the site"

        assert median_seconds(cancel) < CANCEL_SECONDS
        assert median_seconds(health) < PAGE_SECONDS
        assert median_seconds(page) < PAGE_SECONDS
        for number in range(SESSIONS):
            client.cancel(f"crowd-{number}")
        readers.read_until(lambda body: b'"type":"cancelled"' in body, 60)
