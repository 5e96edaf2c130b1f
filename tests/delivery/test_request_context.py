"""A request's context ends before its stream: no thread that serves the stream keeps it."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from flask import Flask
from simple_websocket import Client

from tests.support.processes import ROOT, clean_environment
from tests.support.servers import gunicorn
from tests.support.sse import open_stream
from tests.support.two_threads import ANNA, STREAMS
from wsgi_app.compat.flask import is_context

APP = "tests.support.two_threads:site()"
THREADS = 6
HEADERS = {"X-User": ANNA}


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    """What a server saw that fetches chunks in two threads."""
    command = [sys.executable, "-m", "tests.support.two_threads"]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", STREAMS)
def test_no_thread_keeps_the_request_between_two_chunks(rows: dict[str, Any], name: str) -> None:
    """Whichever thread fetches a chunk: neither `g`, `request` nor the login stay behind in it."""
    row = rows[name]
    assert (row["status"], row["mark"]) == ("200 OK", ANNA)
    assert row["chunks"] >= 2
    assert row["seen"] == []


@pytest.mark.parametrize("name", STREAMS)
def test_what_the_site_registered_runs_once(rows: dict[str, Any], name: str) -> None:
    """Teardowns run once, before the first chunk; what waits for the response's end, at its end."""
    ended = {"before_stream anna": 1, "teardown_request": 1, "teardown_appcontext": 1}
    assert rows[name]["before_first_chunk"] == ended
    assert rows[name]["counts"] == {**ended, "closed": 1}


@pytest.mark.parametrize("name", ["chat", "async"])
def test_agents_and_tools_see_no_request(rows: dict[str, Any], name: str) -> None:
    """An agent and its tools have an app context, but not the request, its `g` or its login."""
    assert rows[name]["agents"]
    for seen in rows[name]["agents"]:
        assert seen == {"request": False, "app": True, "mark": None, "user": None}


@pytest.mark.parametrize("delivery", ["thread", "parked"])
def test_strangers_stay_strangers_beside_open_connections(delivery: str) -> None:
    """Beside streams and WebSockets of a user, every free thread answers others as nobody."""
    with gunicorn(APP, threads=THREADS, delivery=delivery) as server:
        socket = Client.connect(
            f"ws://127.0.0.1:{server.port}/agents/ws/chat/socket", headers=HEADERS
        )
        socket.send(json.dumps({"type": "message", "content": "hi"}))
        assert json.loads(socket.receive(timeout=10))["type"] == "token"
        url = f"{server.url}/agents/chat/stream"
        with open_stream("POST", url, json={"message": "hi"}, headers=HEADERS) as stream:
            assert stream.until("token")
            free = THREADS - 1 - (delivery == "thread")
            answers = _ask_everywhere(server.url, free)
            assert len({answer["thread"] for answer in answers}) == free
            assert {(answer["user"], answer["mark"]) for answer in answers} == {(None, None)}
            socket.send(json.dumps({"type": "cancel"}))
            assert stream.until("done")
        socket.close()
        answers = _ask_everywhere(server.url, THREADS)
        assert {(answer["user"], answer["mark"]) for answer in answers} == {(None, None)}


def test_contexts_of_old_flasks_are_known() -> None:
    """Flask's stacks of 2.0 and 2.1 count as contexts, other variables' values do not."""
    context = Flask("site").test_request_context()
    kept: tuple[object, ...] = (context, [context], {"stack": [context]})
    assert all(map(is_context, kept))
    passed: tuple[object, ...] = (None, "x", [], [1], {}, {"stack": None}, {"stack": [1]})
    assert not any(map(is_context, passed))


def _ask_everywhere(url: str, threads: int) -> list[dict[str, Any]]:
    """Ask in so many of the server's threads at once who the caller is."""
    with ThreadPoolExecutor(threads) as pool:
        asked = [
            pool.submit(requests.get, f"{url}/everywhere/{threads}", timeout=20)
            for _ in range(threads)
        ]
        return [one.result().json() for one in asked]
