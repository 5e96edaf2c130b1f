"""The built-in agent: a chat model behind the OpenAI API, with plain functions as its tools."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final

import openai

# The package loads it on first use, which takes up to half a second: not on the io loop.
import openai.resources.chat.completions
from openai import DEFAULT_CONNECTION_LIMITS, AsyncOpenAI, DefaultAioHttpClient

from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.agents.sse_reader import SseReader
from wsgi_app.agents.toolbox import Toolbox
from wsgi_app.agents.tools import AnyTool, CallRequest, parse_object
from wsgi_app.agents.upstream_errors import describe, from_openai, incomplete_answer
from wsgi_app.engine import Turn
from wsgi_app.engine.history import as_text
from wsgi_app.errors import TurnError, UpstreamError
from wsgi_app.events import ToolCall, ToolResult

log = logging.getLogger("wsgi_app")

#: A turn holds one connection at a time, and the host bounds the turns: the pool must not.
MAX_CONNECTIONS: Final = 100_000
#: A stream ends at once after its last event; the connection is kept if it does so in this time.
STREAM_END_SECONDS: Final = 0.1


class OpenAIAgent:
    """Answers with a chat model, calling tools until the model needs no more.

    ``model``: the model's name, as the provider knows it. ``tools``: functions with type hints and
    a docstring, see `Tool`. ``system``: the system prompt. ``max_steps``: how many times the model
    may be asked in one turn, AGENT_MAX_STEPS if not given; needing more ends the turn with
    ``step_limit``. ``client``: an
    ``AsyncOpenAI`` of your own, used as it is, by one host; without it the agent makes one for each
    worker, which reads ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL``.

    Called by any number of turns at once, each in its own thread. Nothing changes after
    construction but ``_clients``, where each event loop touches its own entry alone.
    """

    def __init__(
        self,
        model: str,
        tools: Sequence[AnyTool | Callable[..., Any]] = (),
        system: str | None = None,
        max_steps: int | None = None,
        client: AsyncOpenAI | None = None,
    ) -> None:
        self._model = model
        self._toolbox = Toolbox(tools)
        self._system = system
        self._max_steps = max_steps
        self._client = client
        self._clients: dict[
            asyncio.AbstractEventLoop, tuple[AsyncOpenAI, AsyncGenerator[AsyncOpenAI, None]]
        ] = {}

    def __call__(self, turn: Turn) -> Iterator[ToolCall | ToolResult]:
        """Answer a turn.

        Tokens and thinking go out while they arrive. Raises UpstreamError when the provider fails,
        TurnError with code ``step_limit``.
        """
        messages = self._opening_messages(turn)
        max_steps = self._max_steps or turn.max_steps
        for steps_left in range(max_steps - 1, -1, -1):
            step = turn.run_io(self._run_step(turn, messages))
            turn.add_usage(step.usage)
            calls = step.calls
            if not calls:
                return
            if not steps_left:
                break
            messages.append(_assistant_message(step.text, calls))
            results = yield from self._toolbox.run(turn, calls)
            messages += [_tool_message(result) for result in results]
        raise TurnError(
            f"The model needs more than {max_steps} steps.",
            {"max_steps": max_steps},
            code="step_limit",
        )

    def _opening_messages(self, turn: Turn) -> list[dict[str, Any]]:
        messages = [*turn.history, {"role": "user", "content": turn.message}]
        if self._system:
            messages.insert(0, {"role": "system", "content": self._system})
        return messages

    async def _run_step(self, turn: Turn, messages: list[dict[str, Any]]) -> ChatStep:
        """Ask the model once; on the ``io`` loop, where a cancel closes the connection."""
        step = ChatStep(turn.emit)
        try:
            async with aclosing(self._stream(messages)) as body:
                await _feed(step, body)
        except UpstreamError as error:
            log.warning("the model provider failed: %s", describe(error))
            raise
        return step

    async def _stream(self, messages: list[dict[str, Any]]) -> AsyncGenerator[bytes, None]:
        """Read the answer's raw bytes; whatever goes wrong on the way is an UpstreamError."""
        client = await self._get_client()
        completions = client.chat.completions.with_streaming_response
        try:
            async with completions.create(**self._request(messages)) as response:
                async for piece in response.iter_bytes():
                    yield piece
        except openai.OpenAIError as error:
            raise from_openai(error) from error
        except Exception as error:
            # The HTTP libraries below openai have errors of their own.
            raise incomplete_answer() from error

    def _request(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._toolbox.tools:
            request["tools"] = [_tool_schema(tool) for tool in self._toolbox.tools]
        return request

    async def _get_client(self) -> AsyncOpenAI:
        if self._client is not None:
            return self._client
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            lifetime = self._keep_client(loop)
            self._clients[loop] = await anext(lifetime), lifetime
        return self._clients[loop][0]

    async def _keep_client(
        self, loop: asyncio.AbstractEventLoop
    ) -> AsyncGenerator[AsyncOpenAI, None]:
        """Make a client whose connections end with the loop, which closes its open generators."""
        # Of httpx or httpx2, whichever this version of the openai package builds on.
        limits = type(DEFAULT_CONNECTION_LIMITS)(max_connections=MAX_CONNECTIONS)
        # Servers of one's own often want no key, but the openai package insists on one.
        api_key = os.environ.get("OPENAI_API_KEY") or "none"
        http_client = DefaultAioHttpClient(limits=limits)
        async with AsyncOpenAI(api_key=api_key, http_client=http_client) as client:
            try:
                yield client
            finally:
                del self._clients[loop]


async def _feed(step: ChatStep, body: AsyncGenerator[bytes, None]) -> None:
    reader = SseReader()
    async for piece in body:
        for message in reader.feed(piece):
            step.take(message)
        if step.ended:
            with suppress(asyncio.TimeoutError, UpstreamError):
                await asyncio.wait_for(_exhaust(body), STREAM_END_SECONDS)
            break
    for message in reader.close():
        step.take(message)
    step.close()


async def _exhaust(body: AsyncIterator[bytes]) -> None:
    async for _ in body:
        pass


def _assistant_message(text: str, calls: Sequence[CallRequest]) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": text or None,
        "tool_calls": [
            {
                "id": call.call_id,
                "type": "function",
                # Some servers refuse a history whose arguments are no JSON object.
                "function": {
                    "name": call.tool,
                    "arguments": call.arguments if parse_object(call.arguments) else "{}",
                },
            }
            for call in calls
        ],
    }


def _tool_schema(tool: AnyTool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def _tool_message(result: ToolResult) -> dict[str, Any]:
    return {
        "role": "tool",
        "tool_call_id": result.call_id,
        "content": as_text(result.output),
    }
