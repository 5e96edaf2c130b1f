"""Clients that ask for much and read nothing: they hold no thread, and nobody waits for them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.client import new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Server, gunicorn
from tests.support.service import project_nginx
from tests.support.waiting import wait_for

THREADS = 16
WRITE_SECONDS = 2
ALPHA, BETA = "alpha-token", "beta-token"
#: The attack's requests cost the machine something; without bounds no turn ends.
BEARABLE_SECONDS = 8
#: More than there are threads.
READERS = 70
#: Of each; the kernel takes the answers to a few.
REQUESTS = 20
#: Of 60,000 bytes each; the turn's end holds them once more.
BLOBS = 65


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """One worker with few threads, for two tenants."""
    env = {
        "AGENT_TOKENS": f"{ALPHA}=alpha,{BETA}=beta",
        "AGENT_WRITE_TIMEOUT_SECONDS": str(WRITE_SECONDS),
    }
    config = ROOT / "gunicorn.conf.py"
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, workers=1, threads=THREADS, env=env, config=config) as running:
        yield running


def ask_and_read_nothing(
    server: Server, path: str, token: str | None = None, requests: int = REQUESTS
) -> socket.socket:
    """Send requests on one connection, whose answers nobody reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.settimeout(10)
    login = "" if token is None else f"Authorization: Bearer {token}\r\n"
    try:
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{login}\r\n".encode() * requests)
    except OSError:
        client.close()
        raise
    return client


def answer_seconds(server: Server) -> float:
    """How long another tenant's turn takes."""
    began = time.monotonic()
    answer = ReadingClient(server, BETA).chat_json(new_session(), {"text": "x"})
    assert answer.status == 200, answer.body
    return time.monotonic() - began


def attack(server: Server, path: str, token: str | None = None) -> None:
    """Have many read nothing while another tenant goes on, then see them let go."""
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(ask_and_read_nothing(server, path, token))
        seconds = [answer_seconds(server) for _ in range(10)]
        assert max(seconds) < BEARABLE_SECONDS, seconds
        assert ReadingClient(server, None).call("GET", "/healthz").status == 200


def test_strangers_stop_no_worker(server: Gunicorn) -> None:
    """What needs no login is sent to few slow clients at a time, and to none for long."""
    attack(server, "/agents/openapi.json")


def is_cut(client: socket.socket) -> bool:
    """Whether the host has ended the connection; reads nothing while it has not."""
    try:
        client.send(b"x")
    except OSError:
        return True
    return False


@pytest.fixture(scope="module")
def long_session(server: Gunicorn) -> str:
    """A session of alpha's with 8 MB of events, as large as a turn may be."""
    session = new_session()
    answer = ReadingClient(server, ALPHA).chat_json(session, {"blobs": BLOBS})
    assert answer.status == 200, answer.body[:200]
    return session


def test_a_poll_is_bounded_in_bytes(server: Gunicorn, long_session: str) -> None:
    """Each brings a part; together they bring all, once."""
    client, after, texts = ReadingClient(server, ALPHA), "0-0", []
    while True:
        answer = client.call("GET", f"/chat/{long_session}/poll?after={after}")
        assert len(answer.body) < 400_000 or len(answer.json["events"]) == 1
        texts += [one["content"] for one in answer.json["events"] if one["type"] == "token"]
        if not answer.json["running"]:
            break
        after = answer.json["next"]
    assert [text[0] for text in texts] == [chr(ord("a") + number % 26) for number in range(BLOBS)]


def test_a_client_that_reads_nothing_is_cut_off(server: Gunicorn, long_session: str) -> None:
    """Each chunk of an answer has the time of AGENT_WRITE_TIMEOUT_SECONDS, no more."""
    path = f"/agents/chat/{long_session}/poll?after=1-{BLOBS}"
    with ask_and_read_nothing(server, path, ALPHA) as client:
        wait_for(lambda: is_cut(client), "cut off", WRITE_SECONDS + 20)


def test_unread_polls_stop_no_worker(server: Gunicorn, long_session: str) -> None:
    """They hold no more threads than their tenant's share."""
    attack(server, f"/agents/chat/{long_session}/poll?after=0-0", ALPHA)


@pytest.mark.slow
def test_unread_polls_through_nginx_stop_no_worker(server: Gunicorn, long_session: str) -> None:
    """The project's nginx takes an answer only as fast as its client does: the same holds."""
    with project_nginx([server]) as proxy:
        attack(proxy, f"/agents/chat/{long_session}/poll?after=0-0", ALPHA)
        attack(proxy, "/agents/openapi.json")


def test_a_slow_but_living_client_gets_all(server: Gunicorn) -> None:
    """Who reads on, however slowly, has the time for each chunk again."""
    # Beta's, since strangers and alpha may still be refused for the attacks before this.
    session, own = new_session(), ReadingClient(server, BETA)
    assert own.chat_json(session, {"blobs": 5}).status == 200
    path = f"/chat/{session}/poll?after=0-0"
    whole = own.call("GET", path).body
    with ask_and_read_nothing(server, f"/agents{path}", BETA, requests=3) as client:
        received, began = b"", time.monotonic()
        while received.count(b"HTTP/1.1 200") < 3 or not received.endswith(whole[-50:]):
            data = client.recv(8192)
            assert data, "cut off"
            received += data
            if time.monotonic() - began < 2 * WRITE_SECONDS:
                time.sleep(0.05)  # the pace of the client
    assert received.count(whole) == 3
