"""Node in front of the host: the example's proxy streams, resumes, and passes on every cut."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tests.support.client import new_session
from tests.support.node import CLIENTS, node_program
from tests.support.processes import ROOT, free_port, started, temporary_folder
from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import Gunicorn, Server, answers_http, gunicorn
from tests.support.sse import StreamCutError

ENV = {
    "AGENT_TOKENS": "dev=tenant",
    "AGENT_ORPHAN_SECONDS": "2",
    "AGENT_KEEPALIVE_SECONDS": "60",
}


@contextmanager
def node_in_front() -> Iterator[tuple[Gunicorn, ReadingClient]]:
    """Run the example, as if it were installed, in front of the scripted agent's host."""
    port = free_port()
    with (
        gunicorn("tests.support.apps:scripted_app()", env=ENV) as host,
        temporary_folder() as folder,
    ):
        shutil.copytree(ROOT / "examples" / "node", folder / "examples" / "node")
        (folder / "wsgi_app").symlink_to(ROOT / "wsgi_app")
        (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
        command = [str(node_program()), str(folder / "examples" / "node" / "app.js")]
        env = {"AGENTS_URL": f"{host.url}/agents/", "AGENTS_TOKEN": "dev", "PORT": str(port)}
        with started(command, env=env) as process:
            process.wait_until(lambda: answers_http(port))
            yield host, ReadingClient(Server(process, port))


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Gunicorn, ReadingClient]]:
    """The host, and a client that knows Node alone."""
    with node_in_front() as running:
        yield running


def test_tokens_come_one_by_one_and_a_hang_up_cancels(
    running: tuple[Gunicorn, ReadingClient],
) -> None:
    """Nothing is held back on the way, and the host learns that the client has gone."""
    host, client = running
    session = new_session()
    with client.chat(session, {"text": "a"}, {"hold": 1}) as stream:
        assert stream.headers["x-session-id"] == session
        assert stream.until("token")[-1].data["content"] == "a"
    wait_observed(host, "cancelled", session)
    assert client.session(session)["state"] == "idle"


def test_a_cut_resumes_through_node(running: tuple[Gunicorn, ReadingClient]) -> None:
    """A reader who comes back with its last id gets the rest, once."""
    _, client = running
    session = new_session()
    with client.chat(session, {"text": "a"}, {"wait": 0.5}, {"text": "b"}) as stream:
        (first,) = stream.until("token")
    assert first.id == "1-1"
    rest = client.replay(session, first.id)
    assert [(frame.id, frame.data["type"]) for frame in rest] == [("1-2", "token"), ("1-3", "done")]


def test_node_asks_by_itself(running: tuple[Gunicorn, ReadingClient]) -> None:
    """The client module gives the site the whole answer, and leaves no session behind."""
    _, client = running
    before = client.call("GET", "/sessions").json["sessions"]
    answer = requests.post(f"{client.server.url}/ask", json={"question": "hello"}, timeout=20)
    assert answer.json() == {"reply": "hello"}
    assert client.call("GET", "/sessions").json["sessions"] == before


def test_a_dead_host_is_a_cut_then_a_502() -> None:
    """A stream whose host dies breaks off, and the next request is refused for now."""
    with node_in_front() as (host, client):
        with client.chat(new_session(), {"text": "a"}, {"hold": 1}) as stream:
            stream.until("token")
            host.kill()
            with pytest.raises(StreamCutError):
                stream.next()
        answer = client.call("GET", "/sessions")
        assert (answer.status, answer.json["code"]) == (502, "bad_gateway")
        assert answer.headers["Retry-After"] == "1"
