"""Agents that block past their cancel hold their tenant's places, not the workers."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.client import new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn, redis_server
from tests.support.service import project_nginx
from tests.support.waiting import wait_for

CONFIG = ROOT / "gunicorn.conf.py"
APP = "tests.support.apps:scripted_app()"
TENANTS = ("alpha", "beta", "gamma", "delta")
TOKENS = {"AGENT_TOKENS": ",".join(f"{name}-token={name}" for name in TENANTS)}
#: An agent that does not hear of its cancel.
DEAF = {"sleep": 60}
#: So often a tenant is refused before the test believes that it has all its places.
REFUSALS = 20
FILL_SECONDS = 120
WATCH_SECONDS = 12


def start_and_cancel(client: ReadingClient) -> str:
    """Begin a turn that blocks and cancel it; returns the start's status or error code."""
    session = new_session()
    with client.chat(session, {"text": "x"}, DEAF) as stream:
        if stream.status != 200:
            return str(stream.json()["code"])
        stream.until("token")
        client.cancel(session)
        return "200"


def fill_places(client: ReadingClient) -> Counter[str]:
    """Begin and cancel turns until many are refused; counts what came of them.

    A worker that holds no other tenant's turn is replaced meanwhile, and its successor has places
    of its own: no number of starts is sure to be too many.
    """
    statuses: Counter[str] = Counter()
    deadline = time.monotonic() + FILL_SECONDS
    with ThreadPoolExecutor(8) as pool:
        while statuses["too_many_turns"] < REFUSALS:
            assert time.monotonic() < deadline, statuses
            statuses.update(pool.map(lambda _: start_and_cancel(client), range(8)))
    return statuses


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("entry", ["gunicorn", "nginx"])
def test_one_tenant_ends_no_turn_of_another(entry: str) -> None:
    """Beyond its places it is refused; another tenant's turns go on, and new ones start."""
    with (
        redis_server() as store,
        gunicorn(
            APP,
            workers=2,
            threads=32,
            config=CONFIG,
            env={**TOKENS, "AGENT_REDIS_URL": store.url},
        ) as server,
        project_nginx([server]) as proxy,
    ):
        wait_for(lambda: len(server.worker_pids()) == 2, "both workers", 30)
        way = server if entry == "gunicorn" else proxy
        alpha, beta = (ReadingClient(way, f"{name}-token") for name in TENANTS[:2])
        pids = server.worker_pids()
        with beta.chat("long", {"tokens": 600, "pause": 0.1}) as running:
            running.until("token")
            statuses = fill_places(alpha)
            assert set(statuses) <= {"200", "too_many_turns", "draining"}, statuses
            until = time.monotonic() + WATCH_SECONDS
            while time.monotonic() < until:
                answer = beta.chat_json(new_session(), {"text": "x"})
                # A worker without turns of others may be replaced, after another has started.
                assert answer.status == 200 or answer.json["code"] == "draining", answer.body
                assert set(pids) & set(server.worker_pids())
            assert running.until("done")
        # What sleeps there would hold up the end; and a worker that is just being forked in place
        # of one that was killed alone does not hear gunicorn's SIGTERM.
        server.kill()


@pytest.mark.slow
def test_a_clogged_worker_leaves_once_another_serves() -> None:
    """Where several tenants' threads clog a worker it is replaced, and no request is refused."""
    with gunicorn(APP, workers=1, threads=32, config=CONFIG, env=TOKENS) as server:
        clients = [ReadingClient(server, f"{name}-token") for name in TENANTS]
        [old] = server.worker_pids()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: start_and_cancel(clients[n % 3]), range(27)))
        seen: set[int] = set()
        deadline = time.monotonic() + 60
        while old in server.worker_pids():
            assert time.monotonic() < deadline, seen
            answer = clients[3].chat_json(new_session(), {"text": "x"})
            # The old one may still take a request, and sends it to the other.
            assert answer.status == 200 or answer.json["code"] == "draining", answer.body
            seen.add(len(server.worker_pids()))
        assert 2 in seen, "the other one was there first"
        wait_for(lambda: len(server.worker_pids()) == 1, "one worker again", 30)
        assert clients[3].chat_json(new_session(), {"text": "x"}).status == 200
        assert len(server.worker_pids()) == 1
