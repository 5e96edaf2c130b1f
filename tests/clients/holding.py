"""A proxy that holds a stream back until it is complete."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

SECONDS: Final = 20.0
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"


@contextmanager
def holding_proxy(port: int, *, headers: bool) -> Iterator[str]:
    """Run it before a port of this machine for the length of the block; gives its address.

    ``headers``: whether it holds the headers back too.
    """
    hold = partial(_hold, headers=headers)
    threads: list[threading.Thread] = []
    ends: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port), SECONDS)
                ends.extend((client, server))
                for carry, source, sink in ((_pass, client, server), (hold, server, client)):
                    thread = threading.Thread(target=carry, args=(source, sink))
                    thread.start()
                    threads.append(thread)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            _shut(listener)
            server.join(SECONDS)
            for end in ends:
                _shut(end)
            for thread in threads:
                thread.join(SECONDS)
            for end in ends:
                end.close()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    _shut(source)
    _shut(sink)


def _hold(source: socket.socket, sink: socket.socket, *, headers: bool) -> None:
    held: bytes | None = None
    with suppress(OSError):
        while data := source.recv(65_536):
            if held is None and b"text/event-stream" in data:
                head, end, body = data.partition(b"\r\n\r\n")
                held = head + end
                if not headers:
                    sink.sendall(held)
                    held = b""
                data = body
            if held is None:
                sink.sendall(data)
                continue
            held += data
            if held.endswith(_LAST_CHUNK):
                sink.sendall(held)
                held = None
    _shut(source)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
