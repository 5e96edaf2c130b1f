"""A web server that goes wrong in the way of a test's choice, to attack what asks it."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

DRIP_SECONDS: Final = 0.05
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED: Final = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_BLOCK: Final = 65_536 * b" "


class HostileWeb:
    """Answers each request with ``text``, or as ``fault`` says; its threads end with it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.fault: str | None = None
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/keys"
        self._lock = threading.Lock()
        self.asked = 0
        self.open = 0

    def serve(self) -> None:
        """Take connections until the end."""
        while not self.over.is_set():
            with suppress(OSError):
                client, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def close(self) -> None:
        """End all that goes on."""
        self.over.set()
        # A blocked accept() does not end with its socket.
        with suppress(OSError), socket.create_connection(self._listener.getsockname(), 1):
            pass
        self._listener.close()

    def _answer(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(10)
            if not client.recv(65_536):
                return
            with self._lock:
                self.asked += 1
                self.open += 1
            try:
                self._say(client)
            finally:
                with self._lock:
                    self.open -= 1

    def _say(self, client: socket.socket) -> None:
        if self.fault is not None:
            FAULTS[self.fault](self, client)
            return
        body = self.text.encode()
        client.sendall(_OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def repeat(self, client: socket.socket, piece: bytes, seconds: float = 0.0) -> None:
        """Send a piece again and again, until the client goes."""
        while not self.over.wait(seconds):
            client.sendall(piece)


def _silence(_web: HostileWeb, client: socket.socket) -> None:
    client.settimeout(60)
    client.recv(1)  # until the client goes


def _drip_head(web: HostileWeb, client: socket.socket) -> None:
    client.sendall(_OK + b"X-More: ")
    web.repeat(client, b"x", DRIP_SECONDS)


def _drip_body(web: HostileWeb, client: socket.socket) -> None:
    client.sendall(_CHUNKED)
    web.repeat(client, b"1\r\n \r\n", DRIP_SECONDS)


def _endless_head(web: HostileWeb, client: socket.socket) -> None:
    client.sendall(_OK)
    web.repeat(client, b"X-More: " + 1000 * b"x" + b"\r\n")


def _endless_body(web: HostileWeb, client: socket.socket) -> None:
    client.sendall(_CHUNKED)
    web.repeat(client, b"%x\r\n%s\r\n" % (len(_BLOCK), _BLOCK))


def _announced_as_huge(web: HostileWeb, client: socket.socket) -> None:
    client.sendall(_OK + b"Content-Length: 1000000000000\r\n\r\n")
    web.repeat(client, _BLOCK)


def _bomb(_web: HostileWeb, client: socket.socket) -> None:
    """1 GiB in 1 MiB."""
    body = gzip.compress(64 * 1024 * 1024 * b" ", 9) * 16
    client.sendall(_OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def _redirect(web: HostileWeb, client: socket.socket) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {web.url}\r\nContent-Length: 0\r\n\r\n"
    client.sendall(head.encode())


FAULTS: Final[dict[str, Callable[[HostileWeb, socket.socket], None]]] = {
    "silence": _silence,
    "drips its head": _drip_head,
    "drips its body": _drip_body,
    "head without end": _endless_head,
    "body without end": _endless_body,
    "announced as huge": _announced_as_huge,
    "bomb": _bomb,
    "redirects to itself": _redirect,
}


@contextmanager
def hostile_web(text: str) -> Iterator[HostileWeb]:
    """Run one that answers well until a test says otherwise."""
    web = HostileWeb(text)
    thread = threading.Thread(target=web.serve, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.close()
        thread.join(10)
