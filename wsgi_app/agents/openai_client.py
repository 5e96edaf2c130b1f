"""How a model provider is asked, with the openai package's client."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from contextvars import ContextVar
from copy import copy
from typing import Any, Final

import openai

# The package loads these on first use, which takes up to half a second: not on the io loop.
import openai.resources.chat.chat
import openai.resources.chat.completions
import openai.resources.responses
from openai import (
    DEFAULT_CONNECTION_LIMITS,
    DEFAULT_TIMEOUT,
    AsyncAPIResponse,
    AsyncOpenAI,
    DefaultAioHttpClient,
    DefaultAsyncHttpxClient,
)

from wsgi_app.agents.answer_reader import AnswerReader
from wsgi_app.agents.model_api import Conversation, ModelStep
from wsgi_app.agents.shorter_history import SHORTENED, note_shortening
from wsgi_app.agents.upstream_errors import (
    BrokenOffError,
    ContextFullError,
    UnusableAnswerError,
    describe,
    failed_request,
    from_openai,
    incomplete_answer,
)
from wsgi_app.compat.python import aclosing, next_of
from wsgi_app.errors import UpstreamError
from wsgi_app.events import AnyEvent, Status, Usage
from wsgi_app.extras import INSTALL

log = logging.getLogger("wsgi_app")

#: A turn holds one connection at a time, and the host bounds the turns: the pool must not.
MAX_CONNECTIONS: Final = 100_000
#: A stream ends at once after its last event; the connection is kept if it does so in this time.
STREAM_END_SECONDS: Final = 0.1
#: How long the count of tokens and ``[DONE]`` are waited for once the answer has its reason: some
#: servers never send them, and keep the connection open. Pieces that still come begin it anew.
GRACE_SECONDS: Final = 1.0
#: An error's text is read for its code alone, which the log tells.
MAX_ERROR_BYTES: Final = 65_536
#: How often a request is repeated of whose answer nothing came, see `BrokenOffError`. The openai
#: package itself repeats what fails before the stream, as often as its client says.
MAX_STREAM_RETRIES: Final = 1
RETRY_SECONDS: Final = 0.5
#: A user who sees nothing for so long is told why.
TOLD_WAIT_SECONDS: Final = 2.0

#: What a task's request says to its turn's user.
_tell: ContextVar[Callable[[AnyEvent], None]] = ContextVar("_tell")
_request_numbers: Final = itertools.count(1)


class OpenAIClient:
    """Asks the provider, with one client for each event loop, or with the author's own.

    Each event loop touches its own entry of ``_clients`` alone; nothing else changes.
    """

    def __init__(self, client: AsyncOpenAI | None = None) -> None:
        self._client = client
        self._clients: dict[
            asyncio.AbstractEventLoop, tuple[AsyncOpenAI, AsyncGenerator[AsyncOpenAI, None]]
        ] = {}

    async def ask(
        self, conversation: Conversation, emit: Callable[[str | AnyEvent], None]
    ) -> ModelStep:
        """Ask the model once, on the ``io`` loop, where a cancel closes the connection.

        Raises UpstreamError, which the log tells with its cause.
        """
        _tell.set(emit)
        try:
            client = await self._get_client()
            retries_left = min(client.max_retries, MAX_STREAM_RETRIES)
            wasted = Usage()
            while True:
                step = conversation.begin_step(emit)
                try:
                    await _read(step, conversation.send(client, typed=self._client is not None))
                except ContextFullError:
                    if step.was_seen or not conversation.shorten():
                        raise
                    note_shortening()
                    emit(Status(SHORTENED))
                    continue
                except BrokenOffError as error:
                    unusable = isinstance(error, UnusableAnswerError)
                    if not retries_left or (step.was_seen if unusable else step.has_effect):
                        raise
                    log.warning("the model provider is asked again: %s", describe(error))
                    wasted += step.usage
                else:
                    step.usage += wasted
                    return step
                retries_left -= 1
                await asyncio.sleep(random.uniform(0.5, 1) * RETRY_SECONDS)  # noqa: S311 - no secret
        except UpstreamError as error:
            log.warning("the model provider failed: %s", describe(error))
            raise

    async def _get_client(self) -> AsyncOpenAI:
        if self._client is not None:
            return self._client
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            lifetime = self._keep_client(loop)
            self._clients[loop] = await lifetime.__anext__(), lifetime
        return self._clients[loop][0]

    async def _keep_client(
        self, loop: asyncio.AbstractEventLoop
    ) -> AsyncGenerator[AsyncOpenAI, None]:
        """Make a client whose connections end with the loop, which closes its open generators."""
        # Of httpx or httpx2, whichever this version of the openai package builds on.
        limits = type(DEFAULT_CONNECTION_LIMITS)(max_connections=MAX_CONNECTIONS)
        # Servers of one's own often want no key, but the openai package insists on one.
        api_key = os.environ.get("OPENAI_API_KEY") or "none"
        hooks = {"response": [_drop_long_error]}
        http_client = _http_client(limits=limits, event_hooks=hooks)
        # The turn's deadline bounds all reads. A limit for each would be a timer set anew with each
        # token, a twelfth of the loop's time (measured).
        timeout = copy(DEFAULT_TIMEOUT)
        timeout.read = None
        async with _Client(api_key=api_key, http_client=http_client, timeout=timeout) as client:
            try:
                yield client
            finally:
                del self._clients[loop]


def _http_client(**options: Any) -> Any:
    """The package's client over aiohttp, else the one it always has."""
    try:
        return DefaultAioHttpClient(**options)
    except RuntimeError:  # its word for a missing aiohttp
        told = "the openai package lacks its extra aiohttp: a token costs more (%s)"
        log.warning(told, INSTALL.format(extra="openai"))
        return DefaultAsyncHttpxClient(**options)


class _Client(AsyncOpenAI):
    """The package's client, which names each request without asking the system for random bytes.

    No header tells the name, but that took a tenth of the loop's time when many turns began. And
    it tells the turn's user when a provider has it wait long before a request is made again.
    """

    def _idempotency_key(self) -> str:
        return f"request-{next(_request_numbers)}"

    def _calculate_retry_timeout(self, *args: Any, **options: Any) -> float:
        seconds = super()._calculate_retry_timeout(*args, **options)
        if seconds >= TOLD_WAIT_SECONDS:
            _tell.get()(Status(f"The model provider is busy: asked again in {seconds:.0f} s."))
        return seconds


async def _read(
    step: ModelStep, opened: AbstractAsyncContextManager[AsyncAPIResponse[Any]]
) -> None:
    """Read an answer to its end, of which no more than its reason must come."""
    reader = AnswerReader(step)
    async with aclosing(_stream(opened)) as body:
        async for piece in body:
            reader.feed(piece)
            if step.ended or step.is_finished:
                break
        if step.is_finished:
            with suppress(asyncio.TimeoutError, BrokenOffError):
                await _read_rest(body, reader, step)
        if step.ended:
            with suppress(asyncio.TimeoutError, UpstreamError):
                await asyncio.wait_for(_exhaust(body), STREAM_END_SECONDS)
    reader.close()


async def _read_rest(
    body: AsyncGenerator[bytes, None], reader: AnswerReader, step: ModelStep
) -> None:
    """Read what follows the reason, as long as anything does; raises TimeoutError then."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GRACE_SECONDS
    while not step.ended:
        pieces = step.pieces
        piece = await asyncio.wait_for(next_of(body), deadline - loop.time())
        if piece is None:
            return
        reader.feed(piece)
        if step.pieces > pieces:
            deadline = loop.time() + GRACE_SECONDS


async def _stream(
    opened: AbstractAsyncContextManager[AsyncAPIResponse[Any]],
) -> AsyncGenerator[bytes, None]:
    """Read the answer's raw bytes; whatever goes wrong on the way is an UpstreamError."""
    async with AsyncExitStack() as stack:
        response = await _open(stack, opened)
        try:
            async for piece in response.iter_bytes():
                yield piece
        except Exception as error:
            # The HTTP libraries below openai have errors of their own.
            raise incomplete_answer() from error


async def _open(
    stack: AsyncExitStack, opened: AbstractAsyncContextManager[AsyncAPIResponse[Any]]
) -> AsyncAPIResponse[Any]:
    try:
        return await stack.enter_async_context(opened)
    except openai.OpenAIError as error:
        raise from_openai(error) from error
    except (TypeError, ValueError) as error:
        raise failed_request() from error  # it cannot be written, so it never will be
    except Exception as error:
        raise incomplete_answer() from error  # of an answer that tells an error


async def _drop_long_error(response: Any) -> None:
    """Close an error's answer that may be endless; the openai package would read it whole."""
    length = response.headers.get("content-length", "")
    if response.is_error and not (length.isdecimal() and int(length) <= MAX_ERROR_BYTES):
        await response.aclose()


async def _exhaust(body: AsyncIterator[bytes]) -> None:
    async for _ in body:
        pass
