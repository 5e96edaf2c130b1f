"""The connections to a provider: one client for each event loop, and its straight way."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from contextvars import ContextVar
from copy import copy
from typing import Any, Final, NamedTuple

from openai import (
    DEFAULT_TIMEOUT,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
)

from wsgi_app.agents.openai_direct import MAX_ERROR_BYTES, DirectWay, HttpClient
from wsgi_app.compat.httpx import http_package
from wsgi_app.events import AnyEvent, Status
from wsgi_app.extras import INSTALL

log = logging.getLogger("wsgi_app")

#: A turn holds one connection at a time, and the host bounds the turns: the pool must not.
MAX_CONNECTIONS: Final = 100_000
#: A user who sees nothing for so long gets a status that says why.
SHOWN_WAIT_SECONDS: Final = 2.0

#: What a task's request says to its turn's user.
emit_to_user: ContextVar[Callable[[AnyEvent], None]] = ContextVar("emit_to_user")
_request_numbers: Final = itertools.count(1)


class Connected(NamedTuple):
    """The ways to a provider.

    ``typed``: the client's methods get a request's fields as arguments, where tools find them that
    look into the calls of a client of the author's.
    """

    client: AsyncOpenAI
    direct: DirectWay | None
    typed: bool = False


#: Of clients in use. What the collector frees together with its connections is logged as a fault.
_lifetimes: Final[set[AsyncGenerator[Connected, None]]] = set()


async def connect(owner: object) -> Connected:
    """Connect on this loop; they end with it, or when the owner is no longer referenced."""
    lifetime = _keep_connected()
    connected = await lifetime.__anext__()
    _lifetimes.add(lifetime)
    weakref.finalize(owner, _end_soon, asyncio.get_running_loop(), lifetime)
    return connected


async def _keep_connected() -> AsyncGenerator[Connected, None]:
    """Make a client whose connections end with the loop, which closes its open generators."""
    limits = http_package().Limits(max_connections=MAX_CONNECTIONS)
    # Servers of one's own often want no key, but the openai package insists on one.
    api_key = os.environ.get("OPENAI_API_KEY") or "none"
    hooks = {"response": [_drop_long_error]}
    http_client = _http_client(limits=limits, event_hooks=hooks)
    # The turn's deadline bounds all reads. A limit for each would be a timer set again with each
    # token, a twelfth of the loop's time (measured).
    timeout = copy(DEFAULT_TIMEOUT)
    timeout.read = None
    async with _Client(api_key=api_key, http_client=http_client, timeout=timeout) as client:
        direct = DirectWay(client) if isinstance(http_client, HttpClient) else None
        try:
            yield Connected(client, direct)
        finally:
            if direct is not None:
                await direct.close()


def _end_soon(loop: asyncio.AbstractEventLoop, lifetime: AsyncGenerator[Connected, None]) -> None:
    """End a client's connections; called by the garbage collector, in any thread."""
    with suppress(RuntimeError):  # the loop has ended, and the connections with it
        loop.call_soon_threadsafe(lambda: loop.create_task(_close(lifetime)))


async def _close(lifetime: AsyncGenerator[Connected, None]) -> None:
    _lifetimes.discard(lifetime)
    await lifetime.aclose()


def _http_client(**options: Any) -> Any:
    """The package's client over aiohttp, else the one it always has."""
    try:
        return HttpClient(**options)
    except RuntimeError:  # its word for a missing aiohttp
        message = "the openai package lacks its extra aiohttp: a token costs more (%s)"
        log.warning(message, INSTALL.format(extra="openai"))
        return DefaultAsyncHttpxClient(**options)


class _Client(AsyncOpenAI):
    """The package's client, which names each request without asking the system for random bytes.

    No header has the name, but that took a tenth of the loop's time when many turns began. And
    it reports to the turn's user when a provider makes it wait long before a request is made again.
    """

    def _idempotency_key(self) -> str:
        return f"request-{next(_request_numbers)}"

    def _calculate_retry_timeout(self, *args: Any, **options: Any) -> float:
        seconds = super()._calculate_retry_timeout(*args, **options)
        if seconds >= SHOWN_WAIT_SECONDS:
            emit_to_user.get()(
                Status(f"The model provider is busy: asked again in {seconds:.0f} s.")
            )
        return seconds


async def _drop_long_error(response: Any) -> None:
    """Close an error's answer that may be endless; the openai package would read it whole."""
    length = response.headers.get("content-length", "")
    if response.is_error and not (length.isdecimal() and int(length) <= MAX_ERROR_BYTES):
        await response.aclose()
