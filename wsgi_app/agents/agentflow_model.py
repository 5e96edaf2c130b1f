"""What AgentFlow loses of a model's streamed answer: fragments of calls, token counts, failures.

Its last release, 0.10, takes the first fragment of a tool call of the chat API for the whole call,
and counts nothing there; it keeps the reasoning of the Responses API until the end; and it takes an
answer that breaks off for a complete one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import ContextVar
from typing import Any, Final

import openai
from agentflow.runtime.adapters.llm.model_response_converter import ModelResponseConverter
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from wsgi_app.agents.agentflow_stream import GraphStream
from wsgi_app.agents.upstream_errors import from_openai, incomplete_answer, reported_error
from wsgi_app.compat.python import aclosing
from wsgi_app.errors import UpstreamError

_turn_stream: ContextVar[GraphStream] = ContextVar("wsgi_app_agentflow")
_THINKING: Final = frozenset(
    {"response.reasoning_text.delta", "response.reasoning_summary_text.delta"}
)
_ENDS: Final = frozenset({"response.completed", "response.incomplete"})

_stream_of_agentflow: Final = ModelResponseConverter.stream


def report_models(stream: GraphStream) -> None:
    """Repair what models stream to the calling task, and report to ``stream`` what gets lost.

    AgentFlow makes the objects that read answers itself, so it is their class that is changed.
    """
    _turn_stream.set(stream)
    ModelResponseConverter.stream = _stream


async def _stream(
    converter: Any, config: dict[str, Any], node_name: str, meta: dict[str, Any] | None = None
) -> AsyncGenerator[Any, None]:
    """Stream as AgentFlow does, from a repaired answer where a turn is hosted."""
    turn_stream = _turn_stream.get(None)
    if turn_stream is None or not isinstance(converter.response, openai.AsyncStream):
        async for message in _stream_of_agentflow(converter, config, node_name, meta):
            yield message
        return
    async with converter.response as response:
        answer = converter.response = _Answer(turn_stream, response)
        messages = _stream_of_agentflow(converter, config, node_name, meta)
        async with aclosing(messages):
            async for message in messages:
                if answer.failure is not None:
                    raise answer.failure
                yield message


class _Answer:
    """One answer, of the chat or the Responses API, while it is streamed. Used by one task."""

    def __init__(self, turn_stream: GraphStream, stream: openai.AsyncStream[Any]) -> None:
        self._turn_stream = turn_stream
        self._stream = stream
        self._calls: list[ChoiceDeltaToolCall] = []
        self._ended = False
        #: What went wrong; AgentFlow would not hand it on.
        self.failure: UpstreamError | None = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for event in self._stream:
                if isinstance(event, ChatCompletionChunk):
                    self._take_chunk(event)
                else:
                    self._take_event(event)
                yield event
        except openai.APIConnectionError as error:  # for a connection that is lost in mid-answer
            self._fail(incomplete_answer(), error)
        except openai.OpenAIError as error:
            self._fail(from_openai(error), error)
        except Exception as error:  # noqa: BLE001 - older releases let HTTP libraries' errors through
            self._fail(incomplete_answer(), error)
        if not self._ended and self.failure is None:
            self.failure = incomplete_answer()

    def _fail(self, failure: UpstreamError, cause: Exception) -> None:
        failure.__cause__ = cause
        self.failure = failure

    def _take_chunk(self, chunk: ChatCompletionChunk) -> None:
        """Keep the fragments of calls until the end, whose chunk gets the calls."""
        if chunk.usage is not None:
            self._turn_stream.count(chunk.usage)
        for choice in chunk.choices[:1]:
            for fragment in choice.delta.tool_calls or ():
                self._take_fragment(fragment)
            choice.delta.tool_calls = None
            if choice.finish_reason is not None:
                self._ended = True
                choice.delta.tool_calls = [_complete(call) for call in self._calls]

    def _take_fragment(self, fragment: ChoiceDeltaToolCall) -> None:
        same = [call for call in self._calls if call.index == fragment.index]
        call = same[-1] if same else None
        if call is None or (fragment.id and fragment.id != call.id):
            self._calls.append(fragment)
        elif call.function is not None and fragment.function is not None:
            arguments = fragment.function.arguments or ""
            call.function.arguments = (call.function.arguments or "") + arguments

    def _take_event(self, event: Any) -> None:
        """Report reasoning while it comes; AgentFlow finds the token counts of this API itself."""
        if event.type in _THINKING:
            self._turn_stream.think(event.delta)
        elif event.type in _ENDS:
            self._ended = True
        elif event.type == "response.failed":
            error = event.response.error
            self.failure = reported_error(None, error.code if error is not None else None)


def _complete(call: ChoiceDeltaToolCall) -> ChoiceDeltaToolCall:
    """A call as AgentFlow takes it, which drops those without arguments."""
    if call.function is not None and not call.function.arguments:
        call.function.arguments = "{}"
    return call
