"""Slow-loris: hundreds of connections that send a request by drops, through the project's nginx."""

from __future__ import annotations

import resource
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.support.client import new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import Nginx, gunicorn
from tests.support.service import project_nginx
from tests.support.sse import text_of
from tests.support.waiting import wait_for

#: Of each kind; gunicorn has 8 threads.
CONNECTIONS = 200
DROP_SECONDS = 0.5
HEAD = b"POST /agents/chat/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dev\r\n"
BODY = HEAD + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + b'{"message": "'
#: What a slow client begins with, and what it then sends now and then; None sends nothing more.
KINDS: dict[str, tuple[bytes, bytes | None]] = {
    "headers by drops": (HEAD + b"X-Slow: ", b"a"),
    "headers that stop": (HEAD + b"X-Slow: ", None),
    "a body by drops": (BODY, b"a"),
    "a body that stops": (BODY, None),
    "nothing at all": (b"", None),
}


class Crowd:
    """Slow connections of one kind, fed by a thread of their own."""

    def __init__(self, port: int, kind: str) -> None:
        begin, self._drop = KINDS[kind]
        self._left = threading.Event()
        self.sockets = []
        for _ in range(CONNECTIONS):
            client = socket.create_connection(("127.0.0.1", port), timeout=15)
            self.sockets.append(client)
            client.sendall(begin)
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        while self._drop is not None and not self._left.wait(DROP_SECONDS):
            for client in self.sockets:
                try:
                    client.send(self._drop)
                except OSError:
                    continue  # it was let go

    def count_open(self) -> int:
        """How many nginx still keeps."""
        poll = select.poll()
        for client in self.sockets:
            poll.register(client, select.POLLIN | select.POLLHUP)
        # Nothing is answered before the end, so whatever can be read is the end.
        return len(self.sockets) - len(poll.poll(0))

    def is_gone(self) -> bool:
        """Whether nginx has let go of all."""
        return self.count_open() == 0

    def close(self) -> None:
        """Leave."""
        self._left.set()
        self._thread.join(15)
        for client in self.sockets:
            client.close()


@contextmanager
def crowds(port: int) -> Iterator[list[Crowd]]:
    """One of each kind at the same time."""
    made: list[Crowd] = []
    try:
        made += [Crowd(port, kind) for kind in KINDS]
        yield made
    finally:
        for crowd in made:
            crowd.close()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Nginx]:
    """The project's nginx in front of one worker with eight threads."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4 * len(KINDS) * CONNECTIONS
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(needed, hard)), hard))
    env = {"AGENT_TOKENS": "dev=acme"}
    app, config = "tests.support.apps:scripted_app()", ROOT / "gunicorn.conf.py"
    try:
        with (
            gunicorn(app, workers=1, threads=8, config=config, env=env) as server,
            project_nginx([server]) as nginx,
        ):
            yield nginx
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_slow_clients_keep_nobody_waiting(proxy: Nginx) -> None:
    """While a thousand of them hang on, health, a stream and a cancel work."""
    client = ReadingClient(proxy)
    with crowds(proxy.port) as slow:
        assert sum(crowd.count_open() for crowd in slow) == len(KINDS) * CONNECTIONS
        for _ in range(20):
            assert client.call("GET", "/healthz").status == 200
        session = new_session()
        with client.chat(session, {"tokens": 20, "pause": 0.05}) as stream:
            frames = stream.until("done")
        assert len(text_of(frames).split()) == 20
        with client.chat(session, {"text": "x"}, {"hold": 1}) as stream:
            stream.until("token")
            assert client.cancel(session)["cancelled"] is True
            assert stream.until("cancelled")
        # None of their requests has reached the host.
        assert client.call("GET", "/session/slow").status == 404


@pytest.mark.slow
def test_slow_clients_are_let_go(proxy: Nginx) -> None:
    """Who does not come to an end with its headers, or pauses in its body, is closed in time."""
    with crowds(proxy.port) as slow:
        by_kind = dict(zip(KINDS, slow, strict=True))
        steady = by_kind.pop("a body by drops")
        for kind, crowd in by_kind.items():
            wait_for(crowd.is_gone, f"{kind}: let go", 60)
        assert steady.count_open() == CONNECTIONS
        assert ReadingClient(proxy).call("GET", "/healthz").status == 200
    with closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=15)) as client:
        client.sendall(b"GET /agents/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
