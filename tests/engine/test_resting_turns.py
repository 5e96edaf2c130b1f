"""Turns whose agents wait long for an answer, and have no thread meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.support.client import new_session
from tests.support.metrics import samples_of
from tests.support.processes import threads_of
from tests.support.reading import ReadingClient
from tests.support.resting import KINDS, ask, give, kinds_of, wait_rest
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.service import owner_pid
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from tests.support.waiting import wait_for

MAX_TURNS: Final = 3
#: One that a reader holds, and one for other requests.
THREADS: Final = 2
COUNTED: Final = {"AGENT_DELIVERY": "thread", "AGENT_STREAM_SLOTS": "1"}
APP: Final = "tests.support.openai_apps:tools_app()"
BOOKING_APP: Final = "tests.support.openai_apps:booking_app()"


@contextmanager
def serving(
    upstream: Upstream, store_url: str, threads: int = 8, app: str = APP, **settings: str
) -> Iterator[Gunicorn]:
    """One worker, or two that share the store."""
    env = {
        **upstream.environment,
        "AGENT_REDIS_URL": store_url,
        "AGENT_TOKENS": "dev=tenant scopes=chat+read+cancel+admin",
        "AGENT_LEASE_SECONDS": "1",
        **settings,
    }
    workers = int(env.pop("WORKERS", "1"))
    with gunicorn(app, workers=workers, threads=threads, env=env) as server:
        yield server


def start_all_threads(client: ReadingClient, session: str) -> None:
    """Have the server start all its threads: it does so one by one, as it needs them."""

    def readers() -> float:
        return samples_of(client.call("GET", "/metrics").body.decode())["streams"]

    with client.events(session):
        wait_for(lambda: readers() == THREADS - 1, "a request beside a reader")


@pytest.mark.slow
def test_more_turns_wait_than_may_run() -> None:
    """They hold no thread and no place, and each goes on as if nothing had been."""
    settings = {"AGENT_MAX_TURNS": str(MAX_TURNS), **COUNTED}
    with (
        redis_server() as store,
        Upstream() as upstream,
        serving(upstream, store.url, THREADS, **settings) as server,
    ):
        client = ReadingClient(server)
        first = new_session()
        request_id = ask(client, upstream, first)
        pid = owner_pid(client, first)
        start_all_threads(client, first)
        upstream.script(Text(("Done.",)))
        give(client, first, request_id)
        client.wait_idle(first, 10)
        before = threads_of(pid)
        waiting: dict[str, str] = {}
        for _ in range(2):
            sessions = [new_session() for _ in range(MAX_TURNS)]
            waiting |= {one: ask(client, upstream, one) for one in sessions}
            refused = client.call("POST", f"/chat/{new_session()}", {"message": "one more"})
            assert refused.json["code"] == "at_capacity"
            wait_rest(client, sessions[0], before + 1)
        for session, request_id in waiting.items():
            upstream.script(Text(("Painted.",)))
            assert give(client, session, request_id).status == 200
            client.wait_idle(session, 10)
            assert kinds_of(client, session) == KINDS
            assert client.session(session)["messages"][-1]["content"] == "Painted."


@pytest.mark.slow
def test_a_resting_turn_is_cancelled_and_takes_no_result() -> None:
    """As one that waits in its thread."""
    with redis_server() as store, Upstream() as upstream, serving(upstream, store.url) as server:
        client = ReadingClient(server)
        session = new_session()
        request_id = ask(client, upstream, session)
        wait_rest(client, session)
        assert client.call("POST", f"/chat/{session}/cancel", {}).json["cancelled"] is True
        assert kinds_of(client, session) == ["tool_request", "cancelled"]
        assert give(client, session, request_id).json["code"] == "no_pending_input"
        assert len(upstream.requests) == 1


@pytest.mark.slow
def test_a_killed_worker_leaves_its_resting_turn_to_another() -> None:
    """With its question, under its name."""
    with (
        redis_server() as store,
        Upstream() as upstream,
        serving(upstream, store.url, WORKERS="2") as server,
    ):
        client = ReadingClient(server)
        session = new_session()
        request_id = ask(client, upstream, session)
        pid = wait_rest(client, session)
        os.kill(pid, signal.SIGKILL)
        upstream.script(Text(("Painted.",)))
        assert give(client, session, request_id).status == 200
        client.wait_idle(session, 20)
        assert client.session(session)["messages"][-1]["content"] == "Painted."
        assert len(upstream.requests) == 2


@pytest.mark.slow
def test_a_resting_turn_waits_out_its_stores_outage() -> None:
    """The result that comes when it is over is taken."""
    with redis_server() as store, Upstream() as upstream, serving(upstream, store.url) as server:
        client = ReadingClient(server)
        session = new_session()
        request_id = ask(client, upstream, session)
        wait_rest(client, session)
        store.signal(signal.SIGSTOP)
        try:
            assert give(client, session, request_id).json["code"] == "store_unavailable"
        finally:
            store.signal(signal.SIGCONT)
        upstream.script(Text(("Painted.",)))
        wait_for(lambda: give(client, session, request_id).status in (200, 409), "taken", 20)
        client.wait_idle(session, 20)
        assert kinds_of(client, session) == KINDS


@pytest.mark.slow
def test_a_turn_whose_end_a_tool_waits_for_does_not_rest() -> None:
    """What the tool has open is the turn's; another turn rests, though it asked later."""
    with (
        redis_server() as store,
        Upstream() as upstream,
        serving(upstream, store.url, app=BOOKING_APP) as server,
    ):
        client = ReadingClient(server)
        booked, plain = new_session(), new_session()
        upstream.script(ToolCalls((Call("b1", "book", "{}"),)))
        request_id = ask(client, upstream, booked)
        ask(client, upstream, plain)
        wait_rest(client, plain)
        assert "withdrawn" not in server.log()
        upstream.script(Text(("Painted.",)))
        assert give(client, booked, request_id).status == 200
        client.wait_idle(booked, 10)
        assert kinds_of(client, booked) == ["tool_call", "tool_result", *KINDS]
        upstream.script(ToolCalls((Call("b2", "book", "{}"),)))
        ask(client, upstream, booked)
        assert client.cancel(booked)["cancelled"]
        wait_for(lambda: "withdrawn" in server.log(), "what the tool waits for")
