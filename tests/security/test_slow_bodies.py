"""Requests that are refused while their client still sends, by drops, without a proxy before it."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

from tests.support.servers import gunicorn
from tests.support.waiting import wait_for

HEAD = b"POST /agents/chat/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
#: At the pace of the drops the whole body would take hours.
PATIENCE_SECONDS = 60


def answer_to_drops(client: socket.socket) -> bytes:
    """Send one more byte, and take what has come."""
    with suppress(OSError):  # its input was ended
        client.send(b"a")
    readable, _, _ = select.select([client], [], [], 0.2)
    return client.recv(65_536) if readable else b""


def test_a_refused_body_holds_no_thread_for_long() -> None:
    """Who is refused gets the answer within seconds, however slowly the body goes on coming."""
    with (
        gunicorn("tests.support.apps:scripted_app()", threads=4) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        client.sendall(HEAD)
        answer = wait_for(lambda: answer_to_drops(client), "the refusal", PATIENCE_SECONDS)
    assert answer.startswith(b"HTTP/1.1 401 ")
