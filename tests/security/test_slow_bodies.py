"""Requests that are refused while their client still sends, by drops, without a proxy before it."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.support.client import new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn
from tests.support.waiting import wait_for

HEAD = b"POST /agents/chat/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
HEAD_OF_TENANT = HEAD.replace(
    b"\r\n\r\n",
    b"\r\nContent-Type: application/json\r\nAuthorization: Bearer other\r\n\r\n",
)
#: At the pace of the drops the whole body would take hours.
PATIENCE_SECONDS = 60


def answer_to_drops(client: socket.socket) -> bytes:
    """Send one more byte, and take what has come."""
    with suppress(OSError):  # its input was ended
        client.send(b"a")
    readable, _, _ = select.select([client], [], [], 0.2)
    return client.recv(65_536) if readable else b""


@pytest.mark.slow
def test_a_refused_body_holds_no_thread_for_long() -> None:
    """Who is refused gets the answer within seconds, however slowly the body goes on coming."""
    with (
        gunicorn("tests.support.apps:scripted_app()", threads=4) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        client.sendall(HEAD)
        answer = wait_for(lambda: answer_to_drops(client), "the refusal", PATIENCE_SECONDS)
    assert answer.startswith(b"HTTP/1.1 401 ")


@contextmanager
def drops(port: int, count: int, head: bytes = HEAD) -> Iterator[None]:
    """So many clients that send a body by drops for the length of the block, again and again."""
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(head)
                client.settimeout(0.2)
                while not over.wait(0.1):
                    client.sendall(b"a")

    threads = [threading.Thread(target=send, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(15)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head", [HEAD, HEAD_OF_TENANT], ids=["strangers", "a tenant that is let in"]
)
def test_slow_bodies_hold_few_threads(head: bytes) -> None:
    """However many bodies of strangers, or of one tenant, come by drops, another one is served."""
    env = {"AGENT_TOKENS": "dev=acme,other=attacker"}
    app = "tests.support.apps:scripted_app()"
    with (
        gunicorn(app, threads=8, env=env, config=ROOT / "gunicorn.conf.py", workers=1) as server,
        drops(server.port, 40, head),
    ):
        took = []
        for _ in range(12):
            began_at = time.monotonic()
            assert ReadingClient(server).chat_json(new_session(), {"text": "x"}).status == 200
            took.append(time.monotonic() - began_at)
    # Five seconds each for 40 bodies on eight threads are 25.
    assert sum(took) / len(took) < 2.5, took


def test_a_body_in_pieces_waits_with_a_place() -> None:
    """A slow body that is let in is taken; while its tenant's places are full, it is refused."""
    env = {"AGENT_TOKENS": "other=attacker", "AGENT_STREAM_SLOTS": "1"}
    with (
        gunicorn("tests.support.apps:scripted_app()", threads=8, env=env) as server,
        ExitStack() as stack,
    ):
        first, second, third = (
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            for _ in range(3)
        )
        body = b'{"message": "hi", "metadata": {"steps": [{"text": "x"}]}}'
        head = HEAD_OF_TENANT.replace(b"1000000", b"%d" % len(body))
        for client in (first, second):  # a slot and a place of the reserve
            client.sendall(head + body[:10])
            refused_soon = select.select([client], [], [], 0.4)[0]
            assert not refused_soon
        third.sendall(head + body[:10])
        assert third.recv(65_536).startswith(b"HTTP/1.1 503 ")
        first.sendall(body[10:])
        assert first.recv(65_536).startswith(b"HTTP/1.1 200 ")
