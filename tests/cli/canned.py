"""A server whose answers a test writes down, byte for byte, one for each connection."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

#: How long it waits for anything.
SECONDS = 20.0


class Answer(NamedTuple):
    """What one connection gets; ``held`` leaves it open then."""

    data: bytes
    held: bool = False


class Request(NamedTuple):
    """A request as it came; header names are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


class Canned:
    """The server. `requests` is filled by its thread and read by the test's."""

    def __init__(self, listener: socket.socket, answers: tuple[Answer, ...]) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.requests: list[Request] = []
        self._listener = listener
        self._answers = answers
        self._held: list[socket.socket] = []

    def serve(self) -> None:
        """Answer one connection after the other; runs in a thread of its own."""
        for given in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the test is over
                return
            connection.settimeout(SECONDS)
            self._held.append(connection)
            self.requests.append(_read_request(connection))
            connection.sendall(given.data)
            if not given.held:
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections; to be called when nothing is served any more."""
        for connection in self._held:
            connection.close()


@contextmanager
def canned(*answers: Answer) -> Iterator[Canned]:
    """Run it for the length of the block; what comes behind the last answer is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Canned(listener, answers)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS)
            server.close()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> Answer:
    """A whole answer with a JSON body, and the last of its connection.

    Without saying so a client that is back before the connection closes would send its next request
    on it, and lose that.
    """
    own = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close")
    fields = (*own, *headers)
    return Answer("\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode() + body)


def refusal(status: str, code: str, message: str = "No.", *headers: str) -> Answer:
    """A host's refusal."""
    return answer(json.dumps({"code": code, "message": message}).encode(), status, *headers)


def stream(*blocks: bytes, turn: str | None = "7", chunked: bool = True) -> Answer:
    """A host's stream that breaks off behind these blocks, or stays open if it has no chunks."""
    head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8"]
    head += [f"X-Turn-Id: {turn}"] if turn else []
    head += ["Transfer-Encoding: chunked"] if chunked else []
    body = [b"%x\r\n%b\r\n" % (len(one), one) for one in blocks] if chunked else blocks
    return Answer("\r\n".join([*head, "", ""]).encode() + b"".join(body), held=not chunked)


def event(event_id: str, body: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return f"id: {event_id}\ndata: {json.dumps(body)}\n\n".encode()


def _read_request(connection: socket.socket) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _receive(connection)
    return Request(line, headers, body)


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    assert data, "the client closed the connection in the middle of its request"
    return data
