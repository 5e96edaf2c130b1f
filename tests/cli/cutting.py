"""A proxy that cuts connections off in the middle of what they carry."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: How long it waits for anything.
SECONDS = 20.0


class CuttingProxy:
    """Carries connections to a port of this machine; each has a thread of its own."""

    def __init__(self, listener: socket.socket, port: int, cuts: tuple[int, ...]) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        #: How many bytes each of the first connections lets through to the client before its cut.
        self._cuts = iter(cuts)
        self._listener = listener
        self._port = port
        self._threads: list[threading.Thread] = []

    def serve(self) -> None:
        """Take connections until the listener is closed; runs in a thread of its own."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                cut = next(self._cuts, None)
                carrier = threading.Thread(target=self._carry, args=(client, cut))
                carrier.start()
                self._threads.append(carrier)

    def join(self) -> None:
        """Wait until all connections have ended."""
        for carrier in self._threads:
            carrier.join(SECONDS)

    def _carry(self, client: socket.socket, cut: int | None) -> None:
        server = socket.create_connection(("127.0.0.1", self._port), SECONDS)
        client.settimeout(SECONDS)
        back = threading.Thread(target=_copy, args=(client, server, None))
        back.start()
        _copy(server, client, cut)
        back.join(SECONDS)
        client.close()
        server.close()


def _copy(source: socket.socket, sink: socket.socket, bound: int | None) -> None:
    """Copy up to so many bytes, then end both connections; with 0 the first byte ends them."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data if bound is None else data[:bound])
            if bound is not None and (bound := bound - len(data)) <= 0:
                break
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting_proxy(port: int, *cuts: int) -> Iterator[CuttingProxy]:
    """Run it for the length of the block, behind whose end no connection may go on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CuttingProxy(listener, port, cuts)
        thread = threading.Thread(target=proxy.serve)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS)
            proxy.join()
