"""A proxy that cuts a connection off in the middle of the frame that holds a given text."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: How long it waits for anything.
SECONDS = 30.0


class FrameCutter:
    """Carries connections to a port of this machine; each text cuts one of them, once.

    Connections run in threads of their own; ``_lock`` guards which texts are left.
    """

    def __init__(self, listener: socket.socket, port: int, texts: tuple[str, ...]) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._left = [text.encode() for text in texts]
        self._lock = threading.Lock()
        self._listener = listener
        self._port = port
        self._threads: list[threading.Thread] = []

    @property
    def left(self) -> list[bytes]:
        """The texts that have cut nothing yet."""
        with self._lock:
            return list(self._left)

    def serve(self) -> None:
        """Take connections until the listener is closed; runs in a thread of its own."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                carrier = threading.Thread(target=self._carry, args=(client,))
                carrier.start()
                self._threads.append(carrier)

    def join(self) -> None:
        """Wait until all connections have ended."""
        for carrier in self._threads:
            carrier.join(SECONDS)

    def _carry(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._port), SECONDS)
        client.settimeout(SECONDS)
        back = threading.Thread(target=self._copy, args=(client, server))
        back.start()
        self._copy(server, client)
        back.join(SECONDS)
        client.close()
        server.close()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        """Copy up to the text, then end both connections."""
        before = b""
        with suppress(OSError):
            while data := source.recv(65_536):
                end = self._find(before + data, sink) - len(before)
                sink.sendall(data[: max(0, end)])
                if end < len(data):
                    break
                before = (before + data)[-100:]
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _find(self, data: bytes, sink: socket.socket) -> int:
        """Where to cut what goes to a client; its length if nowhere."""
        goes_to_server = sink.getpeername()[1] == self._port
        with self._lock:
            for text in [] if goes_to_server else self._left:
                if (place := data.find(text)) >= 0:
                    self._left.remove(text)
                    return place + len(text) - 1
        return len(data)


@contextmanager
def frame_cutter(port: int, *texts: str) -> Iterator[FrameCutter]:
    """Run it for the length of the block, behind whose end no connection may go on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cutter = FrameCutter(listener, port, texts)
        thread = threading.Thread(target=cutter.serve)
        thread.start()
        try:
            yield cutter
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS)
            cutter.join()
    assert not cutter.left, f"nothing was cut at {cutter.left}"
