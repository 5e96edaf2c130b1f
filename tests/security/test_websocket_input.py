"""A WebSocket's client that sends without end and reads nothing costs no memory."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.security.samples import UPGRADE
from tests.support.client import new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Server, gunicorn
from tests.support.service import project_nginx
from wsgi_app.delivery.disconnect import HangupWatcher
from wsgi_app.delivery.websocket import EventSocket

ALPHA, BETA = "alpha-token", "beta-token"
MESSAGE_BYTES = 100_000
ATTACK_SECONDS = 6
MOST_MEGABYTES = 90


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """One worker for two tenants."""
    env = {"AGENT_TOKENS": f"{ALPHA}=alpha,{BETA}=beta"}
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, workers=1, threads=16, env=env, config=ROOT / "gunicorn.conf.py") as host:
        yield host


def resident_megabytes(server: Gunicorn) -> float:
    """What the worker has in memory."""
    [pid] = server.worker_pids()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def text_frame(text: bytes) -> bytes:
    """A client's frame with an empty mask (RFC 6455, section 5.2)."""
    if len(text) < 126:
        size = struct.pack("!BB", 0x81, 0x80 | len(text))
    elif len(text) < 65_536:
        size = struct.pack("!BBH", 0x81, 0x80 | 126, len(text))
    else:
        size = struct.pack("!BBQ", 0x81, 0x80 | 127, len(text))
    return size + b"\0\0\0\0" + text


def open_raw(server: Server, session: str) -> socket.socket:
    """A WebSocket whose client reads its handshake alone."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", server.port))
    lines = {"Host": "localhost", "Authorization": f"Bearer {ALPHA}", **UPGRADE}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    client.sendall(f"GET /agents/ws/chat/{session} HTTP/1.1\r\n{head}\r\n".encode())
    assert b" 101 " in client.recv(4096)
    return client


def flood(clients: list[socket.socket], frame: bytes, seconds: float) -> None:
    """Send frames without reading until time is over, or nobody takes them."""
    deadline = time.monotonic() + seconds
    left = dict.fromkeys(clients, b"")
    for client in clients:
        client.settimeout(0.05)
    while left and time.monotonic() < deadline:
        for client, rest in list(left.items()):
            data = rest or frame
            try:
                left[client] = data[client.send(data) :]
            except TimeoutError:
                continue
            except OSError:
                del left[client]


def attack(server: Gunicorn, entry: Server) -> float:
    """Flood two connections whose turn sends what nobody reads; returns the growth in MB."""
    before = resident_megabytes(server)
    start = {"type": "message", "content": "hi", "metadata": {"steps": [{"blobs": 65}]}}
    rubbish = text_frame(b'"' + b"x" * MESSAGE_BYTES + b'"')
    with ExitStack() as stack:
        clients = [stack.enter_context(open_raw(entry, new_session())) for _ in range(2)]
        for client in clients:
            client.sendall(text_frame(json.dumps(start).encode()))
        flood(clients, rubbish, ATTACK_SECONDS)
        answer = ReadingClient(entry, BETA).chat_json(new_session(), {"text": "x"})
        assert answer.status == 200
        return resident_megabytes(server) - before


def test_input_takes_no_memory(server: Gunicorn) -> None:
    """Frames behind a send that blocks are bounded in bytes, and another tenant is served."""
    grown = attack(server, server)
    assert grown < MOST_MEGABYTES, f"{grown:.0f} MB"


@pytest.mark.slow
def test_input_through_nginx_takes_no_memory(server: Gunicorn) -> None:
    """The same through the project's nginx."""
    with project_nginx([server]) as proxy:
        grown = attack(server, proxy)
    assert grown < MOST_MEGABYTES, f"{grown:.0f} MB"


@pytest.mark.parametrize(("size", "code"), [(10, 1008), (400_000, 1009)])
def test_the_client_is_told_why(size: int, code: int) -> None:
    """More messages than may wait are 1008, more bytes 1009; nobody reads them here."""
    ours, theirs = socket.socketpair()
    watcher = HangupWatcher(30)
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in UPGRADE.items()}
    with ours, theirs:
        environ = {**headers, "HTTP_HOST": "localhost", "werkzeug.socket": ours}
        EventSocket(environ, watcher, lambda: None, ping_seconds=30, max_message_bytes=1_000_000)
        theirs.settimeout(10)
        theirs.recv(65_536)
        with suppress(OSError):
            for _ in range(200):
                theirs.sendall(text_frame(b"x" * size))
        received = b""
        while data := theirs.recv(65_536):
            received += data
    assert received[:2] == b"\x88" + bytes([len(received) - 2])
    assert int.from_bytes(received[2:4], "big") == code
