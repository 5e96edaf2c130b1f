"""HTTP clients for frameworks that have no agent here: their requests belong to the turn.

A request that is made in a turn (`current_turn`) is hung up when the turn ends. A model's answer,
in either of OpenAI's APIs, that stops before its end raises the error that `OpenAIAgent` ends with,
one at the length limit is reported to the user by a `Status`, and its token counts are added.
Outside of turns a request is like any other.

All work with httpx and with httpx2, on which the openai package builds from version 3 on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from wsgi_app.agents.checked_answer import CheckedAnswer, checked_answer, step_of
from wsgi_app.agents.turn_requests import (
    AsyncHeldBackend,
    HeldBackend,
    ProviderRequest,
    begin_request,
    sending,
)
from wsgi_app.agents.upstream_errors import incomplete_answer
from wsgi_app.compat.httpx import http_package
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.errors import TurnCancelled
from wsgi_app.extras import needs

if TYPE_CHECKING:
    import openai

__all__ = [
    "async_http_client",
    "async_openai_client",
    "async_transport",
    "http_client",
    "openai_client",
    "transport",
]

#: As the openai package has them; those of the HTTP libraries are too short for a model.
_TIMEOUT_SECONDS: Final = 600.0
_CONNECT_SECONDS: Final = 5.0
_MAX_CONNECTIONS: Final = 1000
_MAX_KEPT_CONNECTIONS: Final = 100


def openai_client(*, turn: Turn | None = None, **options: Any) -> openai.OpenAI:
    """Make a client of the openai package; ``options`` are its own."""
    package = _openai()
    http = http_client(http_package(), turn=turn)
    client: openai.OpenAI = package.OpenAI(**{"http_client": http, **options})
    return client


def async_openai_client(*, turn: Turn | None = None, **options: Any) -> openai.AsyncOpenAI:
    """Make an asynchronous client of the openai package; ``options`` are its own."""
    package = _openai()
    http = async_http_client(http_package(), turn=turn)
    client: openai.AsyncOpenAI = package.AsyncOpenAI(**{"http_client": http, **options})
    return client


def http_client(package: Any = None, *, turn: Turn | None = None, **options: Any) -> Any:
    """Make a client of httpx (``package`` says of which), for frameworks that take one.

    ``turn`` is for requests from threads that do not know the current one.
    """
    package = package or http_package()
    options = {**_client_options(package), **options}
    return package.Client(**{"transport": transport(package, turn=turn), **options})


def async_http_client(package: Any = None, *, turn: Turn | None = None, **options: Any) -> Any:
    """Make an asynchronous client, like `http_client`."""
    package = package or http_package()
    options = {**_client_options(package), **options}
    return package.AsyncClient(**{"transport": async_transport(package, turn=turn), **options})


def transport(package: Any = None, *, turn: Turn | None = None, **options: Any) -> Any:
    """Make the transport of such a client; ``options`` are those of ``httpx.HTTPTransport``.

    A client with a transport of its own reads no proxy from the environment: name it (``proxy``).
    """
    package = package or http_package()
    inner = package.HTTPTransport(**{"limits": _limits(package), **options})
    # A public option of the pool, which the transport does not pass on.
    pool = inner._pool  # noqa: SLF001 - see above
    pool._network_backend = HeldBackend(pool._network_backend)  # noqa: SLF001 - the same
    return _classes(package)["transport"](inner, turn)


def async_transport(package: Any = None, *, turn: Turn | None = None, **options: Any) -> Any:
    """Make the transport of an asynchronous client, like `transport`."""
    package = package or http_package()
    inner = package.AsyncHTTPTransport(**{"limits": _limits(package), **options})
    pool = inner._pool  # noqa: SLF001 - as in `transport`
    pool._network_backend = AsyncHeldBackend(pool._network_backend)  # noqa: SLF001 - the same
    return _classes(package)["async_transport"](inner, turn)


class _Exchange:
    """What both kinds of bodies know: their request and what its answer says."""

    #: What the library raises when a connection breaks.
    errors: type[Exception]

    def __init__(self, inner: Any, request: ProviderRequest, checked: CheckedAnswer | None) -> None:
        self._inner = inner
        self._request = request
        self._checked = checked

    def _take(self, piece: bytes) -> bytes:
        return piece if self._checked is None else self._checked.take(piece)

    def _check(self) -> None:
        if self._checked is not None and self._checked.error is not None:
            raise self._checked.error

    def _end(self) -> None:
        if self._checked is not None:
            self._checked.close()
        self._check()

    def _release(self) -> None:
        if self._checked is not None:
            self._checked.count()
        self._request.release()


class _Body(_Exchange):
    """An answer's bytes."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:
                yield self._take(piece)
                self._check()
        except self.errors as error:
            if self._request.turn.cancelled:
                raise TurnCancelled from error
            if self._checked is None:
                raise
            raise incomplete_answer() from error
        self._end()

    def close(self) -> None:
        self._release()
        self._inner.close()


class _AsyncBody(_Exchange):
    """The same, asynchronous."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
                yield self._take(piece)
                self._check()
        except self.errors as error:
            if self._request.turn.cancelled:
                raise asyncio.CancelledError from error
            if self._checked is None:
                raise
            raise incomplete_answer() from error
        self._end()

    async def aclose(self) -> None:
        self._release()
        await self._inner.aclose()


class _Sender:
    """What both kinds of transports know: the library's own, and whose requests they send."""

    body: type[_Exchange]

    def __init__(self, inner: Any, turn: Turn | None) -> None:
        self._inner = inner
        self._turn = turn

    def _checked(self, held: ProviderRequest, request: Any, response: Any) -> Any:
        checked = checked_answer(held.turn, request, response)
        response.stream = self.body(response.stream, held, checked)
        return response


class _Transport(_Sender):
    """Sends a turn's requests by the library's own transport."""

    def handle_request(self, request: Any) -> Any:
        held = begin_request(self._turn)
        if held is None:
            return self._inner.handle_request(request)
        token = sending.set(held)
        try:
            held.turn.check()
            _ask_plainly(request)
            response = self._inner.handle_request(request)
        except BaseException as error:
            held.release()
            if held.turn.cancelled and isinstance(error, Exception):
                raise TurnCancelled from error
            raise
        finally:
            sending.reset(token)
        return self._checked(held, request, response)

    def close(self) -> None:
        self._inner.close()


class _AsyncTransport(_Sender):
    """The same, asynchronous: what an ended turn's task gets is a cancel."""

    async def handle_async_request(self, request: Any) -> Any:
        held = begin_request(self._turn)
        if held is None:
            return await self._inner.handle_async_request(request)
        token = sending.set(held)
        try:
            _check_task(held.turn)
            _ask_plainly(request)
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            held.release()
            if held.turn.cancelled and isinstance(error, Exception):
                raise asyncio.CancelledError from error
            raise
        finally:
            sending.reset(token)
        return self._checked(held, request, response)

    async def aclose(self) -> None:
        await self._inner.aclose()


@lru_cache(maxsize=2)
def _classes(package: Any) -> dict[str, Any]:
    """The classes above as those of one of the two packages, which look at the types."""
    errors = {"errors": package.TransportError}
    body = type("TurnBody", (_Body, package.SyncByteStream), errors)
    async_body = type("TurnAsyncBody", (_AsyncBody, package.AsyncByteStream), errors)
    bases = (_Transport, package.BaseTransport)
    async_bases = (_AsyncTransport, package.AsyncBaseTransport)
    return {
        "transport": type("TurnTransport", bases, {"body": body}),
        "async_transport": type("TurnAsyncTransport", async_bases, {"body": async_body}),
    }


def _check_task(turn: Turn) -> None:
    if turn.cancelled:
        raise asyncio.CancelledError


def _ask_plainly(request: Any) -> None:
    """Ask a model for an answer that can be read along."""
    if step_of(request) is not None:
        request.headers["accept-encoding"] = "identity"


def _openai() -> Any:
    with needs("openai", "wsgi_app.agents.http"):
        return import_module("openai")


def _limits(package: Any) -> Any:
    return package.Limits(
        max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_KEPT_CONNECTIONS
    )


def _client_options(package: Any) -> dict[str, Any]:
    timeout = package.Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_SECONDS)
    return {"timeout": timeout, "follow_redirects": True}
