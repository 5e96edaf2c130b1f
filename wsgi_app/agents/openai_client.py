"""How a model provider is asked, with the openai package's client."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any, Final

import openai

# The package loads these on first use, which takes up to half a second: not on the io loop.
import openai.resources.chat.chat
import openai.resources.chat.completions
import openai.resources.responses
from openai import (
    AsyncAPIResponse,
    AsyncOpenAI,
)

from wsgi_app.agents.answer_reader import AnswerReader
from wsgi_app.agents.model_api import Conversation, ModelRequest, ModelStep
from wsgi_app.agents.openai_connect import Connected, connect, emit_to_user
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

log = logging.getLogger("wsgi_app")

#: What the openai package's methods insist on; an argument without a value is one to them.
_REQUIRED: Final = frozenset({"model", "messages", "input"})
#: A stream ends at once after its last event; the connection is kept if it does so in this time.
STREAM_END_SECONDS: Final = 0.1
#: How long the count of tokens and ``[DONE]`` are waited for once the answer has its reason: some
#: servers never send them, and keep the connection open. Pieces that still come begin it again.
GRACE_SECONDS: Final = 1.0
#: How often a request is repeated of whose answer nothing came, see `BrokenOffError`. The openai
#: package itself repeats what fails before the stream, as often as its client says.
MAX_STREAM_RETRIES: Final = 1
RETRY_SECONDS: Final = 0.5


class OpenAIClient:
    """Asks the provider, with one client for each event loop, or with the author's own.

    Each event loop touches its own entry of ``_connected`` alone; nothing else changes. The
    connections end with the loop, or when the client is no longer referenced.
    """

    def __init__(self, client: AsyncOpenAI | None = None) -> None:
        self._client = client
        self._connected: dict[asyncio.AbstractEventLoop, Connected] = {}

    @property
    def lack(self) -> str:
        """See `OpenAIAgent.lack`; a server of one's own may need no key."""
        if self._client or os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
            return ""
        return (
            "OPENAI_API_KEY is not set, nor OPENAI_BASE_URL: the provider refuses each turn of"
            " OpenAIAgent, which ends with upstream_error"
        )

    async def ask(
        self, conversation: Conversation, emit: Callable[[str | AnyEvent], None]
    ) -> ModelStep:
        """Ask the model once, on the ``io`` loop, where a cancel closes the connection.

        Raises UpstreamError, which the log shows with its cause.
        """
        emit_to_user.set(emit)
        try:
            connected = await self._connect()
            retries_left = min(connected.client.max_retries, MAX_STREAM_RETRIES)
            wasted = Usage()
            while True:
                step = conversation.begin_step(emit)
                try:
                    await _read(step, _stream(connected, conversation.request()))
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

    async def _connect(self) -> Connected:
        if self._client is not None:
            return Connected(self._client, None, typed=True)
        loop = asyncio.get_running_loop()
        if loop not in self._connected:
            self._connected[loop] = await connect(self)
        return self._connected[loop]


async def _read(step: ModelStep, stream: AsyncGenerator[bytes, None]) -> None:
    """Read an answer to its end, of which no more than its reason must come."""
    reader = AnswerReader(step)
    async with aclosing(stream) as body:
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


async def _stream(connected: Connected, request: ModelRequest) -> AsyncGenerator[bytes, None]:
    """Read the answer's raw bytes; whatever goes wrong on the way is an UpstreamError."""
    async with AsyncExitStack() as stack:
        pieces = await _open(stack, connected, request)
        try:
            async for piece in pieces:
                yield piece
        except Exception as error:
            # The HTTP libraries below openai have errors of their own.
            raise incomplete_answer() from error


async def _open(
    stack: AsyncExitStack, connected: Connected, request: ModelRequest
) -> AsyncIterator[bytes]:
    client, direct, typed = connected
    try:
        if direct is not None and direct.is_open(request):
            answer = await direct.ask(request)
            if answer is not None:
                stack.callback(answer.release)
                pieces: AsyncIterator[bytes] = answer.content.iter_any()
                return pieces
        response = await stack.enter_async_context(_ask_package(client, request, typed=typed))
        return response.iter_bytes()
    except openai.OpenAIError as error:
        raise from_openai(error) from error
    except (TypeError, ValueError) as error:
        raise failed_request() from error  # it cannot be written, so it never will be
    except Exception as error:
        raise incomplete_answer() from error  # of an answer that reports an error


def _ask_package(
    client: AsyncOpenAI, request: ModelRequest, *, typed: bool
) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
    """Call the package's method for a request.

    The package goes through each field to give it its API's name, which it has: 3.7 ms for 20
    messages and 5 tools (measured, openai 3.52), a quarter of a millisecond for the others, during
    which no other turn of the worker gets a token. So they go beside that, unless ``typed``.
    """
    resource = client.responses if request.path == "responses" else client.chat.completions
    create: Any = resource.with_streaming_response.create
    # Fields that the package does not know go beside it in any case.
    arguments, body = dict(request.fields), dict(request.options)
    if not typed:
        body |= request.fields
        arguments = dict.fromkeys(_REQUIRED & request.fields.keys(), openai.NOT_GIVEN)
        arguments["stream"] = request.fields["stream"]
    opened: AbstractAsyncContextManager[AsyncAPIResponse[Any]]
    opened = create(**arguments, extra_body=body)
    return opened


async def _exhaust(body: AsyncIterator[bytes]) -> None:
    async for _ in body:
        pass
