"""Attacks of one tenant, or of a stranger, each of which goes on until its process is ended.

Each takes the port that it attacks. What is refused is tried again, and nothing of it fails.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Final

from tests.support.client import Client, new_session
from tests.support.sse import Stream, StreamCutError

PREFIX: Final = "/agents"
TOKEN: Final = "alpha-token"
#: What a flood is made of, and what ends no attack.
AT_ONCE: Final = 64
_FAULTS: Final = (OSError, http.client.HTTPException, StreamCutError, AssertionError)
_UPGRADE: Final = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class _Entry:
    """What `Client` needs to know of a server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


def _client(port: int, token: str | None = TOKEN) -> Client:
    return Client(_Entry(port), token)  # type: ignore[arg-type] # it asks for no more of one


def _start(client: Client, *steps: Mapping[str, object]) -> Stream:
    body = {"message": "hi", "metadata": {"steps": steps}}
    return client.stream("POST", f"/chat/{new_session()}", body)


def _for_ever(act: Callable[[], object], times: int, pause_seconds: float = 0.05) -> None:
    """Do it again and again in so many threads, after a refusal with a pause."""

    def repeat(_: int) -> None:
        while True:
            try:
                act()
            except _FAULTS:
                time.sleep(pause_seconds)

    with ThreadPoolExecutor(times) as pool:
        list(pool.map(repeat, range(times)))


def deaf_agents(port: int) -> None:
    """Start turns whose agents do not hear of their cancel, and cancel them."""
    client = _client(port)

    def act() -> None:
        session = new_session()
        body = {"message": "hi", "metadata": {"steps": [{"text": "x"}, {"sleep": 60}]}}
        with client.stream("POST", f"/chat/{session}", body) as stream:
            if stream.status == 200:
                stream.next()
        client.call("POST", f"/chat/{session}/cancel")

    _for_ever(act, 8)


def websocket_flood(port: int) -> None:
    """Send frames on two WebSockets whose own answers nobody reads."""
    rubbish = _text_frame(b'"' + b"x" * 100_000 + b'"')
    body = {"type": "message", "content": "hi", "metadata": {"steps": [{"blobs": 65}]}}

    def act() -> None:
        head = f"GET {PREFIX}/ws/chat/{new_session()} HTTP/1.1\r\nHost: localhost\r\n{_UPGRADE}"
        with _connect(port) as client:
            client.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
            client.recv(4096)
            client.sendall(_text_frame(json.dumps(body).encode()))
            while True:
                client.sendall(rubbish)

    _for_ever(act, 2)


def unread_documents(port: int) -> None:
    """Ask for the largest open document as a stranger, 70 times, and read nothing."""
    _read_nothing(port, f"{PREFIX}/openapi.json", None)


def unread_polls(port: int) -> None:
    """Ask for 8 MB of events, 70 times, and read nothing."""
    _read_nothing(port, f"{PREFIX}/chat/{_long_session(port)}/poll?after=0-0", TOKEN)


def unread_sessions(port: int) -> None:
    """The same with the session's messages, of 4 MB."""
    _read_nothing(port, f"{PREFIX}/session/{_long_session(port)}", TOKEN)


def idle_readers(port: int) -> None:
    """Take as many places of readers as there are, and wait."""
    client = _client(port)
    _hold(lambda: client.stream("GET", f"/events?session={new_session()}"), AT_ONCE)


def response_waits(port: int) -> None:
    """Wait for events of a response far behind its end."""
    client = _client(port)
    made = client.call("POST", "/v1/responses", {"input": "hi"}).json["id"]
    path = f"/v1/responses/{made}?stream=true&starting_after=9999999999"

    def act() -> None:
        client.call("GET", path)
        time.sleep(0.25)  # waits are what it is about, not many requests

    _for_ever(act, AT_ONCE)


def unknown_sessions(port: int) -> None:
    """Hold 150 streams of a hundred sessions that do not exist."""
    client = _client(port)
    names = "&".join(f"session={new_session()}" for _ in range(100))
    _hold(lambda: client.stream("GET", f"/events?{names}"), 150)


def slow_bodies(port: int) -> None:
    """Send 200 requests by drops of a byte, each with a token."""
    _send_drops(port, f"Authorization: Bearer {TOKEN}\r\n")


def slow_strangers(port: int) -> None:
    """The same without a token."""
    _send_drops(port, "")


ATTACKS: Final[Mapping[str, Callable[[int], None]]] = {
    made.__name__: made
    for made in (
        *(deaf_agents, websocket_flood, unread_documents, unread_polls, unread_sessions),
        *(idle_readers, response_waits, unknown_sessions, slow_bodies, slow_strangers),
    )
}


def _connect(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.settimeout(5)
    try:
        client.connect(("127.0.0.1", port))
    except OSError:
        client.close()
        raise
    return client


def _long_session(port: int) -> str:
    """Have a turn say as much as it may."""
    session = new_session()
    body = {"message": "hi", "metadata": {"steps": [{"blobs": 65}]}}
    headers = {"Accept": "application/json"}
    _client(port).call("POST", f"/chat/{session}", body, headers=headers)
    return session


def _read_nothing(port: int, path: str, token: str | None) -> None:
    login = "" if token is None else f"Authorization: Bearer {token}\r\n"
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{login}\r\n".encode() * 20

    def act() -> None:
        with _connect(port) as client:
            client.sendall(request)
            # Until it is cut off: what has come is not taken from the kernel.
            poll = select.poll()
            poll.register(client, select.POLLRDHUP)
            poll.poll(60_000)

    _for_ever(act, 70)


def _hold(open_stream: Callable[[], Stream], count: int) -> None:
    """Keep so many streams open, as far as they are let."""
    with ExitStack() as stack:

        def act() -> None:
            stream = open_stream()
            if stream.status != 200:
                stream.close()
                raise OSError
            stack.callback(stream.close)
            with suppress(StreamCutError, OSError):
                stream.seconds = 120
                stream.next()

        _for_ever(act, count, 1.0)


def _send_drops(port: int, login: str) -> None:
    head = (
        f"POST {PREFIX}/chat/slow HTTP/1.1\r\nHost: x\r\n{login}"
        "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    )

    def act() -> None:
        with _connect(port) as client:
            client.sendall(head.encode())
            while True:
                client.sendall(b" ")
                if select.select([client], [], [], 0.5)[0] and not client.recv(4096):
                    return

    _for_ever(act, 200)


def _text_frame(text: bytes) -> bytes:
    """A client's frame with an empty mask (RFC 6455, section 5.2)."""
    return struct.pack("!BBQ", 0x81, 0x80 | 127, len(text)) + b"\0\0\0\0" + text


def run(name: str, port: int, started: Any) -> None:
    """Attack until the process ends; ``started`` is an event of multiprocessing's."""
    started.set()
    ATTACKS[name](port)
