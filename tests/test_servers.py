"""The same app on every WSGI server that is promised, and by the letter of WSGI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import Server, flask_dev_server, gunicorn, waitress

APP = "tests.support.apps:scripted_app"
IMPATIENT = {"AGENT_ORPHAN_SECONDS": "0", "AGENT_KEEPALIVE_SECONDS": "0.3"}


@pytest.fixture(scope="module", params=["gunicorn", "waitress", "flask", "validated"])
def client(request: pytest.FixtureRequest) -> Iterator[ReadingClient]:
    """The app behind each server; "validated" is gunicorn with wsgiref's validator between."""
    servers: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "gunicorn": lambda: gunicorn(f"{APP}()", env=IMPATIENT),
        # Without look-ahead waitress does not look at a connection while it serves a request.
        "waitress": lambda: waitress(
            "tests.support.apps:site", env=IMPATIENT, args=["--channel-request-lookahead=1"]
        ),
        "flask": lambda: flask_dev_server(f"{APP}()", env=IMPATIENT),
        "validated": lambda: gunicorn("tests.support.apps:validated_app()", env=IMPATIENT),
    }
    with servers[request.param]() as server:
        yield ReadingClient(server)
        assert "AssertionError" not in server.log()
        assert "Traceback" not in server.log()


def test_turn_is_streamed_as_it_happens(client: ReadingClient) -> None:
    """Tokens arrive one by one while the agent works, keep-alives between, and a regular end."""
    steps = ({"tokens": 4, "pause": 0.2}, {"wait": 1}, {"text": "end"})
    with client.chat("streamed", *steps) as stream:
        frames = list(stream)
        arrivals = [frame.at for frame in frames if frame.data["type"] == "token"]
        assert arrivals[3] - arrivals[0] > 0.4
        assert [c.text for c in stream.comments][:2] == ["connected", "keep-alive"]
        assert frames[-1].data["reply"] == "w1 w2 w3 w4 end"
        assert stream.ended == "clean"


def test_cancel_ends_a_streamed_turn(client: ReadingClient) -> None:
    """A cancel on another connection ends the stream with its `cancelled` event."""
    with client.chat("cancelled", {"text": "a"}, {"hold": True}) as stream:
        stream.until("token")
        assert client.cancel("cancelled") == {"ok": True, "cancelled": True, "turn_id": "1"}
        assert [frame.data for frame in stream] == [{"type": "cancelled", "reason": "user"}]


@pytest.mark.parametrize("way", ["close", "abort"])
def test_vanished_client_ends_its_turn(client: ReadingClient, way: str) -> None:
    """A client that goes is noticed, by its socket or at the latest at the next write."""
    session_id = f"gone-{way}"
    stream = client.chat(session_id, {"text": "a"}, {"hold": True})
    stream.until("token")
    stream.close() if way == "close" else stream.abort()
    wait_observed(client.server, "cancelled", session_id)
    client.wait_idle(session_id)


def test_reader_resumes(client: ReadingClient) -> None:
    """A reader that comes back gets the rest."""
    with client.chat("resumed", {"tokens": 30, "pause": 0.03}, on_disconnect="continue") as stream:
        first = stream.until("token")
    rest = client.replay("resumed", first[-1].id or "")
    words = [f.data["content"] for f in first + rest if f.data["type"] == "token"]
    assert "".join(words) == rest[-1].data["reply"]


def test_json_answer_and_errors(client: ReadingClient) -> None:
    """JSON mode, a refusal and an unknown path work the same everywhere."""
    assert client.chat_json("json", {"text": "hello"}).json["reply"] == "hello"
    assert client.call("POST", "/chat/json", {"message": ""}).status == 422
    assert client.call("GET", "/nowhere").json["code"] == "not_found"
    assert client.call("GET", "/readyz").json["status"] == "ready"
