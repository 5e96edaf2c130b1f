"""Servers that cannot send a stream as it comes: it is answered in bursts, and they are named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.cli.doctor.running import run_doctor
from tests.support import other_servers
from tests.support.reading import ReadingClient
from tests.support.servers import Server
from tests.support.sse import Frame
from tests.support.waiting import wait_for

SLOW = pytest.mark.slow
SERVERS: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "tornado": lambda: other_servers.tornado(0),
    "tornado-pool": lambda: other_servers.tornado(8),
    "gunicorn-tornado": lambda: other_servers.gunicorn_class("tornado", other_servers.SITE),
    "asgiref": lambda: other_servers.uvicorn("asgiref_app"),
}
NAMES = {
    "tornado": "Tornado's WSGI container",
    "tornado-pool": "Tornado's WSGI container",
    "gunicorn-tornado": "gunicorn's tornado class",
    "asgiref": "asgiref's WsgiToAsgi",
}


@pytest.fixture(
    scope="module",
    params=[
        "tornado",
        *(
            pytest.param(name, marks=SLOW)
            for name in ("tornado-pool", "gunicorn-tornado", "asgiref")
        ),
    ],
)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    """Run the scripted site on each server."""
    with SERVERS[request.param]() as server:
        yield request.param, server
        # The doctor asks for a WebSocket, which is an error of asgiref's in the log.
        log = server.log()
        assert log.count("Traceback") == log.count("ValueError: WSGI wrapper")


@pytest.fixture
def client(served: tuple[str, Server]) -> ReadingClient:
    """Talk to it."""
    return ReadingClient(served[1])


def follow(client: ReadingClient, session_id: str, frames: list[Frame]) -> int:
    """Come back for the rest until the turn has ended; returns how often."""
    for round_number in range(400):
        if frames and frames[-1].data["type"] in ("done", "cancelled", "error"):
            return round_number
        with client.events(session_id, frames[-1].id if frames else "1-0") as stream:
            frames += list(stream)
            assert stream.ended == "clean"
    raise AssertionError("the turn does not end")


def test_a_stream_comes_in_bursts_and_whole(client: ReadingClient) -> None:
    """What is there is answered at once, and who comes back gets the rest, nothing twice."""
    began = time.monotonic()
    with client.chat("bursts", {"tokens": 12, "pause": 0.3}) as stream:
        frames = list(stream)
        assert stream.ended == "clean"
    assert time.monotonic() - began < 2.5, "not at the turn's end, after 3.6 s"
    assert follow(client, "bursts", frames) >= 1
    words = [frame.data["content"] for frame in frames if frame.data["type"] == "token"]
    assert "".join(words) == frames[-1].data["reply"]
    assert len({frame.id for frame in frames}) == len(frames)


def test_the_site_answers_beside_streams(client: ReadingClient) -> None:
    """A page, a cancel and a long poll wait for no stream."""
    sessions = [f"beside-{number}" for number in range(3)]
    for session_id in sessions:
        client.chat(session_id, {"text": "a"}, {"hold": True}).close()
    began = time.monotonic()
    assert ReadingClient(client.server, prefix="").call("GET", "/page").status == 200
    assert client.poll(sessions[0], "1-1", 20)["running"]
    assert time.monotonic() - began < 4
    for session_id in sessions:
        assert client.cancel(session_id)["cancelled"]


def test_the_server_is_named(served: tuple[str, Server], client: ReadingClient) -> None:
    """Readiness and the log say which server it is and what it does to streams."""
    (warning,) = client.call("GET", "/readyz").json["warnings"]
    assert warning.startswith(NAMES[served[0]])
    assert "comes back for the rest" in warning
    wait_for(lambda: warning in served[1].log(), "the log says so", 5)


def test_the_doctor_names_the_server(served: tuple[str, Server], client: ReadingClient) -> None:
    """The doctor, which asks a running host, hands on what the host says of its server."""
    found = run_doctor("--url-only", "--url", f"{client.server.url}/agents", "--token", "dev")
    problems = [one["problem"] for one in found.all if one["check"] == "readiness"]
    assert any(problem.startswith(NAMES[served[0]]) for problem in problems), problems


def test_a_json_answer_is_whole(client: ReadingClient) -> None:
    """An answer as one document comes as everywhere."""
    assert client.chat_json("json", {"text": "hello"}).json["reply"] == "hello"
