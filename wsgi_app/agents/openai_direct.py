"""A request straight to the provider, past the layers of the openai package.

Three of four parts of the CPU time of a request go into the package's options, models and HTTP
client (measured, openai 3.52: 1.1 of 1.5 ms), as much as a hundred tokens cost. So the first try
of a request of the agent's own client goes over aiohttp at once, with the package's headers, made
once. An answer that is none goes back into the package as if it had asked itself: what an error
means, what is repeated and when stays its business. Whatever else is wrong (no connection, a
redirect) it finds out itself.

Nothing goes this way that somebody wants to see: tools that watch a provider's calls (of Sentry,
OpenTelemetry, Datadog) replace methods of the package or its HTTP client.
"""

from __future__ import annotations

import inspect
import logging
import os
import urllib.request
from contextvars import ContextVar
from pathlib import Path
from types import FunctionType
from typing import Any, Final, NamedTuple, Optional

import openai
from openai import DEFAULT_TIMEOUT, AsyncOpenAI, DefaultAioHttpClient
from openai.resources.chat.completions import AsyncCompletions
from openai.resources.responses import AsyncResponses

from wsgi_app.agents.model_api import ModelRequest
from wsgi_app.compat.httpx import http_package
from wsgi_app.engine.runtime.sockets import EagerSocket
from wsgi_app.events import encode_json

log = logging.getLogger("wsgi_app")

#: An error's text is read for its code alone, which the log has.
MAX_ERROR_BYTES: Final = 65_536
#: How long an unused connection is kept: to open an encrypted one takes two round trips.
KEEP_SECONDS: Final = 30.0
_REDIRECTED: Final = 300
_REFUSED: Final = 400
_RESOURCES: Final[dict[str, type]] = {
    "chat/completions": AsyncCompletions,
    "responses": AsyncResponses,
}
_HTTPX: Final = http_package()
#: Where functions come from that nobody has replaced.
_ORIGINS: Final = tuple(
    f"{Path(str(module.__file__)).parent}{os.sep}" for module in (openai, _HTTPX)
)
#: Headers that say how the body came, which is not how it is passed on.
_OF_THE_WAY: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class Refusal(NamedTuple):
    """An answer with an error's status."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


#: What the next request of this task gets as its answer.
_refusal: ContextVar[Optional[Refusal]] = ContextVar("_refusal", default=None)


class HttpClient(DefaultAioHttpClient):
    """The package's client over aiohttp, which takes a refusal that is there already."""

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request, or give the answer that it has got."""
        refusal = _refusal.get()
        if refusal is None:
            return await super().send(request, **options)
        _refusal.set(None)
        status, headers, body = refusal
        return _HTTPX.Response(status, headers=headers, content=body, request=request)


class DirectWay:
    """Asks one provider; used on one event loop. ``close`` it there."""

    def __init__(self, client: AsyncOpenAI) -> None:
        """Raises ImportError without aiohttp."""
        import aiohttp  # noqa: PLC0415 - an extra of the openai package's

        self._base_url = str(client.base_url)
        headers = {**client.default_headers, **client.auth_headers}
        self._headers = {k: v for k, v in headers.items() if isinstance(v, str)}
        self._headers["Accept-Encoding"] = "gzip, deflate"
        connector = aiohttp.TCPConnector(
            limit=0,  # a turn holds one connection at a time, and the host bounds the turns
            ssl=_HTTPX.create_ssl_context(),
            keepalive_timeout=KEEP_SECONDS,
            **_socket_options(aiohttp.TCPConnector),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # The turn's deadline bounds all reads. A limit for each would be a timer set again with
            # each token, a twelfth of the loop's time (measured).
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=DEFAULT_TIMEOUT.connect),
        )
        self._trouble = (aiohttp.ClientError, OSError)
        self._has_proxy = bool(urllib.request.getproxies().keys() - {"no"})

    def is_open(self, request: ModelRequest) -> bool:
        """Whether nobody looks at the package's calls, and no proxy is to be asked."""
        create: Any = getattr(_RESOURCES[request.path], "create", None)
        methods = (create, AsyncOpenAI.post, HttpClient.send, DefaultAioHttpClient.send)
        return not self._has_proxy and all(map(_is_original, methods))

    async def ask(self, request: ModelRequest) -> Any:
        """Send a request; returns the aiohttp response of a success, whose body is to be read.

        None: the package is to ask. Raises TypeError or ValueError for what is no JSON.
        """
        body = encode_json({**request.options, **request.fields})
        url = self._base_url + request.path
        try:
            response = await self._session.post(
                url, data=body, headers=self._headers, allow_redirects=False
            )
            if response.status < _REDIRECTED:
                return response
            if response.status >= _REFUSED:
                _refusal.set(await _read_refusal(response))
            response.release()
        except self._trouble as error:
            log.debug("the openai package asks instead: %s", type(error).__name__)
        return None

    async def close(self) -> None:
        """End the connections."""
        await self._session.close()


def _socket_options(connector: type) -> dict[str, Any]:
    """Have its connections keep the interpreter, where aiohttp lets others make them (3.12)."""
    if "socket_factory" not in inspect.signature(connector).parameters:
        return {}
    return {"socket_factory": lambda address: EagerSocket(*address[:3])}


async def _read_refusal(response: Any) -> Refusal:
    """Read an error's answer, whose body may be endless: then it has none."""
    length = response.headers.get("Content-Length", "")
    is_short = length.isdecimal() and int(length) <= MAX_ERROR_BYTES
    headers = [(k, v) for k, v in response.headers.items() if k.lower() not in _OF_THE_WAY]
    return Refusal(response.status, headers, await response.read() if is_short else b"")


def _is_original(function: Any) -> bool:
    """Whether a method is a plain function of the package it belongs to, or of ours."""
    if not isinstance(function, FunctionType):
        return False
    name = function.__code__.co_filename
    return name.startswith(_ORIGINS) or name == __file__
