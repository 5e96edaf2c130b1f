"""The sockets of a synchronous model client, so that the end of a turn can shut them."""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

from wsgi_app.agents.turn_requests import shut

#: What the HTTP library calls the moments at which a connection has a (new) socket.
_CONNECTED: Final = ("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete")


class ClientSockets:
    """Knows every open socket of one session's client.

    The client's thread waits in a read that only the socket's shutdown ends: closing it from
    another thread would leave the read waiting, and the connection open. Filled by threads that
    ask the model, shut by who ends the turn; ``_lock`` guards the list and whether it is shut.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._shut = False
        self._hooked: Any = None

    def hook_into(self, llm: Any) -> None:
        """Trace the HTTP client below ``llm``, from its next connection on; for a turn's start.

        A client that is not of an SDK with httpx hooks is left alone: its reads end by themselves.
        """
        with self._lock:
            self._shut = False
        http_client = getattr(getattr(llm, "client", None), "_client", None)
        hooks = getattr(http_client, "event_hooks", None)
        if hooks is None or http_client is self._hooked:
            return
        self._hooked = http_client
        hooks["request"].append(self._trace_request)

    def shut(self) -> None:
        """End all reads and writes, those of connections that are still being made too."""
        with self._lock:
            self._shut = True
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            shut(one)

    def _trace_request(self, request: Any) -> None:
        request.extensions = {**request.extensions, "trace": self._trace}

    def _trace(self, name: str, info: dict[str, Any]) -> None:
        if not name.endswith(_CONNECTED):
            return
        connected = info["return_value"].get_extra_info("socket")
        with self._lock:
            is_shut = self._shut
            self._sockets = [one for one in self._sockets if one.fileno() >= 0]
            self._sockets.append(connected)
        if is_shut:
            shut(connected)
