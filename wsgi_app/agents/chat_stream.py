"""One step of a chat completion, put together from its streamed chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import Struct

from wsgi_app.agents.model_api import (
    LENGTH,
    MAX_CALLS_PER_STEP,
    STOP,
    ModelStep,
    arguments_text,
    decode,
    new_call_id,
)
from wsgi_app.agents.tools import CallRequest, parse_object
from wsgi_app.agents.upstream_errors import malformed_answer, reported_error
from wsgi_app.errors import UpstreamError
from wsgi_app.events import AnyEvent

#: Other servers' names of the API's reasons.
_SAME_REASON: Final = {"max_tokens": LENGTH, "model_length": LENGTH}
_FAILURES: Final = ("error", "abort")


class FunctionDelta(Struct):
    """A fragment of a call; ``arguments`` is an object where a server does not write text."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallDelta(Struct):
    """A fragment of one of the step's calls."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None
    #: What Gemini wants back with the call.
    extra_content: Any = None


class ContentPart(Struct):
    """A part of content that is a list, as Mistral's reasoning models write it."""

    text: str | None = None
    thinking: str | list[ContentPart] | None = None


class Delta(Struct):
    """What a chunk adds; reasoning has two names in the field, none in the API's reference."""

    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(Struct):
    """A choice of a chunk; ``message`` is all of it, from a server that does not stream."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class ChunkUsage(Struct):
    """The provider's count for the step so far."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Chunk(Struct):
    """The fields of a chunk that matter here; decoding skips all others, which saves most."""

    choices: list[Choice] | None = None
    usage: ChunkUsage | None = None
    error: Any = None
    object: str | None = None
    code: Any = None


_decoder = msgspec.json.Decoder(Chunk)


class ChatStep(ModelStep):
    """Takes the chunks of one step, or its one object; see `ModelStep`."""

    def __init__(self, emit: Callable[[str | AnyEvent], None]) -> None:
        super().__init__(emit)
        self._reasoning_content: list[str] = []
        self._calls: list[_Call] = []
        self._latest_at: dict[int, _Call] = {}

    @property
    def calls(self) -> list[CallRequest]:
        """See `ModelStep.calls`."""
        return [CallRequest(call.id, call.name, "".join(call.arguments)) for call in self._calls]

    @property
    def reasoning_content(self) -> str:
        """The reasoning under the name with which DeepSeek wants it back with its calls."""
        return "".join(self._reasoning_content)

    @property
    def extra_contents(self) -> Sequence[Any]:
        """What the provider wants back with each of the calls."""
        return [call.extra_content for call in self._calls]

    def _take(self, data: bytes, event: bytes) -> None:
        if event == b"error":
            raise _reported(data)
        chunk = decode(_decoder, data)
        if chunk.error or chunk.object == "error":
            raise reported_error(chunk.error, chunk.code)
        if chunk.usage is not None:
            usage = chunk.usage
            self._count_tokens(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
        for choice in chunk.choices or ():
            if not choice.index:
                self._take_choice(choice)

    def _take_choice(self, choice: Choice) -> None:
        if choice.delta is not None:
            self._take_delta(choice.delta)
        if choice.message is not None:
            self._take_delta(choice.message)
            self.finish_reason = STOP
        reason = choice.finish_reason
        if reason in _FAILURES:
            raise reported_error(None)
        if reason:
            self.finish_reason = _SAME_REASON.get(reason, reason)

    def _take_delta(self, delta: Delta) -> None:
        if delta.reasoning_content:
            self._reasoning_content.append(delta.reasoning_content)
        self._think(delta.reasoning_content or delta.reasoning)
        if isinstance(delta.content, list):
            for part in delta.content:
                self._take_part(part)
        else:
            self._say(delta.content)
        self._say(delta.refusal)
        for fragment in delta.tool_calls or ():
            self._take_fragment(fragment)

    def _take_part(self, part: ContentPart) -> None:
        if isinstance(part.thinking, list):
            for inner in part.thinking:
                self._think(inner.text)
        else:
            self._think(part.thinking)
        self._say(part.text)

    def _take_fragment(self, fragment: CallDelta) -> None:
        call = self._call_of(fragment)
        if fragment.id and all(fragment.id != other.given_id for other in self._calls):
            call.given_id = fragment.id  # a second call of the same id gets one of its own
        call.extra_content = fragment.extra_content or call.extra_content
        function = fragment.function or FunctionDelta()
        call.name = call.name or function.name or ""
        arguments = arguments_text(function.arguments)
        if arguments or not call.arguments:
            call.arguments.append(arguments)
        self._check_call(call.given_id, call.name, len(arguments))

    def _call_of(self, fragment: CallDelta) -> _Call:
        """Find the call that a fragment belongs to, or begin it.

        Some servers leave the index out, some give every call index 0: then a new id is a new
        call, or else a second name, unless it may be one that is repeated with each fragment.
        """
        named = fragment.function is not None and bool(fragment.function.name)
        begins = named and not fragment.id
        if fragment.index is None:
            call = self._calls[-1] if self._calls else None
        else:
            call = self._latest_at.get(fragment.index)
            begins = begins and call is not None and call.came_whole
        if call is None or begins or call.has_other_id(fragment.id):
            call = self._begin_call()
        if fragment.index is not None:
            self._latest_at[fragment.index] = call
        return call

    def _begin_call(self) -> _Call:
        if len(self._calls) >= MAX_CALLS_PER_STEP:
            raise malformed_answer()
        call = _Call()
        self._calls.append(call)
        return call


class _Call:
    def __init__(self) -> None:
        self.given_id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.extra_content: Any = None
        self._first_is_whole: bool | None = None

    @cached_property
    def _own_id(self) -> str:
        return new_call_id()

    @property
    def id(self) -> str:
        return self.given_id or self._own_id

    @property
    def came_whole(self) -> bool:
        if len(self.arguments) != 1:
            return False
        if self._first_is_whole is None:  # read once: each of many fragments asks
            self._first_is_whole = parse_object(self.arguments[0]) is not None
        return self._first_is_whole

    def has_other_id(self, given_id: str | None) -> bool:
        return bool(given_id and self.given_id and given_id != self.given_id)


def _reported(data: bytes) -> UpstreamError:
    """The error that an event named ``error`` tells, whatever its data is."""
    try:
        chunk = decode(_decoder, data)
    except UpstreamError:
        return reported_error(None)
    return reported_error(chunk.error, chunk.code)
