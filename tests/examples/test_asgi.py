"""The host inside an ASGI application: the example streams, resumes, and sees a hang-up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from tests.support.client import new_session
from tests.support.processes import ROOT, free_port, started
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import Server, answers_http
from tests.support.sse import open_stream
from tests.support.waiting import wait_for

DEV = {"Authorization": "Bearer dev"}


def uvicorn(app: str, folder: str, env: dict[str, str]) -> Iterator[Server]:
    """Run uvicorn with an application of a folder."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT / folder), app]
    with started([*command, "--port", str(port)], env=env) as process:
        server = Server(process, port)
        wait_for(lambda: answers_http(port) or not server.running(), "uvicorn answers", 30)
        yield server


@pytest.fixture(scope="module")
def example() -> Iterator[Server]:
    """The example as it is."""
    yield from uvicorn("app:app", "examples/asgi", {})


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A client of the scripted agent below a Starlette application."""
    env = {"AGENT_ORPHAN_SECONDS": "0.2", "AGENT_KEEPALIVE_SECONDS": "60"}
    for server in uvicorn("tests.support.asgi_app:app", ".", env):
        yield ReadingClient(server)


def test_the_example_streams_beside_asgi_pages(example: Server) -> None:
    """The mounted host answers with a stream, the application's own page with itself."""
    assert "ASGI" in requests.get(f"{example.url}/", timeout=20).text
    url = f"{example.url}/agents/chat/{new_session()}"
    with open_stream("POST", url, json={"message": "hello there"}, headers=DEV) as stream:
        frames = list(stream)
    assert [frame.data["type"] for frame in frames] == ["token", "token", "done"]
    assert frames[-1].data["reply"] == "HELLO THERE "
    assert stream.ended == "clean"


def test_tokens_come_one_by_one_and_a_cut_resumes(client: ReadingClient) -> None:
    """Nothing is held back on the way, and a reader who comes back gets the rest."""
    session = new_session()
    with client.chat(session, {"text": "a"}, {"hold": 1}) as stream:
        (first,) = stream.until("token")
    with client.events(session, first.id) as stream:
        client.cancel(session)
        assert stream.until("cancelled")[-1].id == "1-2"


def test_a_hang_up_is_noticed_without_a_write(client: ReadingClient) -> None:
    """A client that goes is seen long before the next keep-alive; its turn is cancelled."""
    for _ in range(3):
        session = new_session()
        with client.chat(session, {"text": "a"}, {"hold": 1}) as stream:
            stream.until("token")
        wait_for(
            lambda: client.session(session)["state"] == "idle",  # noqa: B023 - waited for here
            "the turn is cancelled",
            20,
        )


def test_the_threads_of_the_middleware_bound_the_streams(client: ReadingClient) -> None:
    """Streams leave a reserve of its threads free: at 503, other requests still answer."""
    with ExitStack() as stack:
        for _ in range(6):
            stream = stack.enter_context(client.chat(new_session(), {"hold": 1}))
            assert stream.status == 200
        answer = client.call("POST", f"/chat/{new_session()}", json={"message": "hi"})
        check_refusal(answer, 503, "at_capacity")
        assert "workers=64" in answer.json["details"]["more_with"]
        assert client.call("GET", "/healthz").status == 200
