"""The same app on every WSGI server that is promised, and by the letter of WSGI."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from itertools import pairwise
from typing import NamedTuple

import pytest
from simple_websocket import Client as WebSocket

from tests.support.chunked import send_chunked
from tests.support.client import chat_body
from tests.support.deployed import apache, uwsgi
from tests.support.proxies import apache_proxy, haproxy
from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import Gunicorn, Server, flask_dev_server, gunicorn, waitress
from tests.support.service import project_nginx
from wsgi_app.delivery.slots import default_slots

APP = "tests.support.apps:scripted_app"
IMPATIENT = {"AGENT_ORPHAN_SECONDS": "0", "AGENT_KEEPALIVE_SECONDS": "0.3"}
PATIENT = {
    "AGENT_ORPHAN_SECONDS": "0",
    "AGENT_KEEPALIVE_SECONDS": "60",
    "AGENT_MAX_TURNS_PER_TENANT": "1000",
}
#: In deploy/uwsgi.ini and deploy/apache-mod_wsgi.conf.
THREADS = 64
#: "Within a second", and what a busy machine adds.
NOTICED_SECONDS = 1.5
SLOW = pytest.mark.slow
# A Python environment may have to be made first.
SETUP = pytest.mark.timeout(1300)


class Entrance(NamedTuple):
    """A way in; ``host`` is the server behind it, which runs the app."""

    client: ReadingClient
    host: Server


PROXIES: dict[str, Callable[[Gunicorn], AbstractContextManager[Server]]] = {
    "nginx": lambda host: project_nginx([host]),
    "apache-proxy": apache_proxy,
    "haproxy": haproxy,
}

PROXIED = [
    "nginx",
    pytest.param("apache-proxy", marks=SLOW),
    pytest.param("haproxy", marks=SLOW),
]


@contextmanager
def behind_proxy(proxy: str, env: dict[str, str]) -> Iterator[Entrance]:
    """Put gunicorn behind a proxy as deploy/ has it; proxies need a token of one's own."""
    settings = {**env, "AGENT_TOKENS": "dev=demo-tenant"}
    with gunicorn(f"{APP}()", env=settings) as host, PROXIES[proxy](host) as before:
        yield Entrance(ReadingClient(before), host)


def start(server: str, env: dict[str, str]) -> AbstractContextManager[Server]:
    """Run a server by its name; "validated" is gunicorn with wsgiref's validator between."""
    starters: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "gunicorn": lambda: gunicorn(f"{APP}()", env=env),
        # Without look-ahead waitress does not look at a connection while it serves a request.
        "waitress": lambda: waitress(
            "tests.support.apps:site", env=env, args=["--channel-request-lookahead=1"]
        ),
        "flask": lambda: flask_dev_server(f"{APP}()", env=env),
        "validated": lambda: gunicorn("tests.support.apps:validated_app()", env=env),
        "uwsgi": lambda: uwsgi(env=env),
        "apache": lambda: apache(env=env),
    }
    return starters[server]()


@contextmanager
def direct(server: str, env: dict[str, str]) -> Iterator[Entrance]:
    """Run a server; uWSGI and Apache serve the stand-alone app, which is at the root."""
    with start(server, env) as host:
        prefix = "" if server in ("uwsgi", "apache") else "/agents"
        yield Entrance(ReadingClient(host, prefix=prefix), host)


@pytest.fixture(
    scope="module",
    params=[
        *("gunicorn", "waitress", "flask", "validated", "nginx", "uwsgi"),
        *PROXIED[1:],
        pytest.param("apache", marks=[SLOW, SETUP]),
    ],
)
def entrance(request: pytest.FixtureRequest) -> Iterator[Entrance]:
    """Run the app on each server."""
    name = request.param
    with (behind_proxy if name in PROXIES else direct)(name, IMPATIENT) as entrance:
        yield entrance
        assert "AssertionError" not in entrance.host.log()
        assert "Traceback" not in entrance.host.log()


@pytest.fixture
def client(entrance: Entrance) -> ReadingClient:
    """Talk to it."""
    return entrance.client


def test_turn_is_streamed_to_its_end(client: ReadingClient) -> None:
    """A turn's stream has keep-alives in silence, and a regular end."""
    steps = ({"tokens": 4}, {"wait": 1}, {"text": "end"})
    with client.chat("streamed", *steps) as stream:
        frames = list(stream)
        assert [c.text for c in stream.comments][:2] == ["connected", "keep-alive"]
        assert frames[-1].data["reply"] == "w1 w2 w3 w4 end"
        assert stream.ended == "clean"


def test_tokens_arrive_one_by_one(client: ReadingClient) -> None:
    """What the agent sends every 0.2 s arrives so: nothing on the way waits for more.

    On a busy machine the reader itself may be late: one of a few turns shows it.
    """
    assert any(least_gap_seconds(client, f"paced-{number}") > 0.1 for number in range(8))


def least_gap_seconds(client: ReadingClient, session_id: str) -> float:
    """How close the closest two of five tokens came after each other."""
    with client.chat(session_id, {"tokens": 5, "pause": 0.2}) as stream:
        arrivals = [frame.at for frame in stream if frame.data["type"] == "token"]
    return min(later - earlier for earlier, later in pairwise(arrivals))


def test_cancel_ends_a_streamed_turn(client: ReadingClient) -> None:
    """A cancel on another connection ends the stream with its `cancelled` event."""
    with client.chat("cancelled", {"text": "a"}, {"hold": True}) as stream:
        stream.until("token")
        assert client.cancel("cancelled") == {"ok": True, "cancelled": True, "turn_id": "1"}
        assert [frame.data for frame in stream] == [{"type": "cancelled", "reason": "user"}]


@pytest.mark.parametrize("way", ["close", "abort"])
def test_vanished_client_ends_its_turn(entrance: Entrance, way: str) -> None:
    """A client that goes is noticed, by its socket or at the latest at a keep-alive."""
    client, host = entrance
    session_id = f"gone-{way}"
    stream = client.chat(session_id, {"text": "a"}, {"hold": True})
    stream.until("token")
    stream.close() if way == "close" else stream.abort()
    wait_observed(host, "cancelled", session_id)
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


def test_a_chunked_body_is_read(client: ReadingClient) -> None:
    """A message that comes without a length is taken as any other."""
    answer = send_chunked(client, [b'{"message"', b': "hi"}'], "/chat/chunked")
    assert (answer.status, answer.json["turn_id"]) == (200, "1")


def test_streams_are_never_compressed(client: ReadingClient) -> None:
    """Whatever the client takes, events come as they are: compression would collect them."""
    headers = {"Accept-Encoding": "gzip, br"}
    body = chat_body({"text": "plain"})
    with client.stream("POST", "/chat/plain", body, headers) as stream:
        assert list(stream)[-1].data["reply"] == "plain"
        assert "content-encoding" not in stream.headers


@pytest.mark.parametrize("entrance", PROXIED, indirect=True)
def test_websocket_passes_the_proxy(entrance: Entrance) -> None:
    """A proxy that is set up as deploy/ says lets a WebSocket through."""
    port = entrance.client.server.port
    url = f"ws://127.0.0.1:{port}/agents/ws/chat/socket"
    with closing(WebSocket.connect(url, headers={"Authorization": "Bearer dev"})) as socket:
        socket.send(json.dumps({"type": "message", "content": "hi"}))
        kinds = [json.loads(socket.receive(timeout=15) or "{}")["type"] for _ in range(2)]
    assert kinds == ["token", "done"]


@pytest.fixture(scope="module", params=["uwsgi", pytest.param("apache", marks=[SLOW, SETUP])])
def embedding(request: pytest.FixtureRequest) -> Iterator[Entrance]:
    """Run the app on each server that calls it from C, with keep-alives too late to be noticed."""
    with direct(request.param, PATIENT) as entrance:
        yield entrance


def test_server_without_a_socket_notices_within_a_second(embedding: Entrance) -> None:
    """Where a server shows no socket, its own sign is read, or something is written to find out."""
    client, host = embedding
    delays = []
    for number in range(3):
        stream = client.chat(f"silent-{number}", {"text": "a"}, {"hold": True})
        left_at = stream.until("token")[-1].at
        stream.close()
        delays.append(wait_observed(host, "cancelled", f"silent-{number}") - left_at)
        client.wait_idle(f"silent-{number}")
    assert sorted(delays)[1] < NOTICED_SECONDS, delays


def test_streams_of_an_embedding_server_leave_threads(embedding: Entrance) -> None:
    """The server's threads are known: one stream too many is refused, and health answers."""
    client, _ = embedding
    slots = default_slots(THREADS)
    with ExitStack() as stack:
        for number in range(slots):
            stream = stack.enter_context(client.chat(f"slot-{number}", {"hold": True}))
            stream.wait_comments(1)
        refused = client.chat_json("too-many", {"text": "x"})
        assert (refused.status, refused.json["code"]) == (503, "at_capacity")
        assert client.call("GET", "/healthz").status == 200
        for number in range(slots):
            assert client.cancel(f"slot-{number}")["cancelled"]
