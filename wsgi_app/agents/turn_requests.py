"""The requests of a turn to its model, whichever framework makes them, and how they are hung up."""

from __future__ import annotations

import socket
import threading
import weakref
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

from wsgi_app.engine.runtime.waits import EndsWithRun
from wsgi_app.engine.turn.turn import Turn, current_turn


class ProviderRequest:
    """One request, and the socket that it has at the moment.

    Filled by who sends it, shut by who ends the turn; ``_lock`` guards all. A shutdown is done
    while it is held, so that it never meets a connection that has gone on to another turn; it
    does not wait.
    """

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self._lock = threading.Lock()
        self._sockets: list[Any] = []
        self._is_hung_up = self._is_over = False

    def hold(self, one: Any) -> None:
        """Note the socket that the request goes over; it is shut at once if the turn has ended."""
        with self._lock:
            if one is None or self._is_over or any(one is known for known in self._sockets):
                return
            self._sockets.append(one)
            if self._is_hung_up:
                shut(one)

    def hang_up(self) -> None:
        """End all reads and writes: closing from another thread would leave them waiting."""
        with self._lock:
            self._is_hung_up = True
            for one in self._sockets:
                shut(one)

    def release(self) -> None:
        """The request is over: its connection is the next one's."""
        with self._lock:
            self._is_over = True
            self._sockets.clear()
        _requests_of(self.turn).discard(self)


class _Requests:
    """The open requests of a turn. Touched by any thread; ``_lock`` guards the set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[ProviderRequest] = set()

    def add(self, request: ProviderRequest) -> None:
        with self._lock:
            self._open.add(request)

    def discard(self, request: ProviderRequest) -> None:
        with self._lock:
            self._open.discard(request)

    def hang_up(self) -> None:
        with self._lock:
            requests = list(self._open)
        for request in requests:
            request.hang_up()


_lock = threading.Lock()
#: By turn, guarded by ``_lock``. What is in it must not hold its turn when nothing is open.
_by_turn: Final[weakref.WeakKeyDictionary[Turn, _Requests]] = weakref.WeakKeyDictionary()

#: The request that the calling code is sending.
sending: Final[ContextVar[ProviderRequest | None]] = ContextVar("wsgi_app_request", default=None)


def _requests_of(turn: Turn) -> _Requests:
    with _lock:
        known = _by_turn.get(turn)
        requests = known or _by_turn.setdefault(turn, _Requests())
    if known is None:
        turn.on_cancel(EndsWithRun(requests.hang_up))
        turn.on_return(EndsWithRun(requests.hang_up))
    return requests


def begin_request(turn: Turn | None) -> ProviderRequest | None:
    """Begin a request of ``turn`` or of the current one; None outside of turns."""
    if turn is None:
        try:
            turn = current_turn()
        except LookupError:
            return None
    request = ProviderRequest(turn)
    # Before it is looked whether the turn has ended: who ends it finds the request, or it is seen.
    _requests_of(turn).add(request)
    return request


def shut(one: Any) -> None:
    """End a socket's reads and writes, in whichever threads they wait."""
    with suppress(OSError):  # it is closed, or the other side was faster
        if isinstance(one, socket.socket):
            # Not its own method: an SSL socket's takes the TLS state away from who is reading.
            socket.socket.shutdown(one, socket.SHUT_RDWR)
        else:
            one.shutdown(socket.SHUT_RDWR)  # what asyncio gives in place of one


class HeldBackend:
    """The HTTP library's backend, whose connections are held by the requests that use them."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def connect_tcp(self, *args: Any, **options: Any) -> HeldStream:
        """Connect, as the library's own."""
        return HeldStream(self._backend.connect_tcp(*args, **options))

    def connect_unix_socket(self, *args: Any, **options: Any) -> HeldStream:
        """Connect, as the library's own."""
        return HeldStream(self._backend.connect_unix_socket(*args, **options))


class HeldStream:
    """A connection; each request on it begins with a write."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        _hold(stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, *args: Any, **options: Any) -> None:
        """Write for the request that is being sent."""
        _hold(self._stream)
        self._stream.write(*args, **options)

    def start_tls(self, *args: Any, **options: Any) -> HeldStream:
        """Go on with TLS."""
        return HeldStream(self._stream.start_tls(*args, **options))


class AsyncHeldBackend(HeldBackend):
    """The same for the library's asynchronous side."""

    async def connect_tcp(  # type: ignore[override] # it is the asynchronous one's
        self, *args: Any, **options: Any
    ) -> AsyncHeldStream:
        """Connect, as the library's own."""
        return AsyncHeldStream(await self._backend.connect_tcp(*args, **options))

    async def connect_unix_socket(  # type: ignore[override] # the same
        self, *args: Any, **options: Any
    ) -> AsyncHeldStream:
        """Connect, as the library's own."""
        return AsyncHeldStream(await self._backend.connect_unix_socket(*args, **options))


class AsyncHeldStream(HeldStream):
    """The same for the library's asynchronous side."""

    async def write(self, *args: Any, **options: Any) -> None:  # type: ignore[override] # the same
        """Write for the request that is being sent."""
        _hold(self._stream)
        await self._stream.write(*args, **options)

    async def start_tls(  # type: ignore[override] # the same
        self, *args: Any, **options: Any
    ) -> AsyncHeldStream:
        """Go on with TLS."""
        return AsyncHeldStream(await self._stream.start_tls(*args, **options))


def _hold(stream: Any) -> None:
    request = sending.get()
    if request is not None:
        request.hold(stream.get_extra_info("socket"))
