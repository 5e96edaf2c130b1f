"""One step of a chat completion, put together from its streamed chunks."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from wsgi_app.agents.sse_reader import SseMessage
from wsgi_app.agents.tools import CallRequest
from wsgi_app.agents.upstream_errors import incomplete_answer, malformed_answer, reported_error
from wsgi_app.errors import UpstreamError
from wsgi_app.events import AnyEvent, Thinking, Usage, encode_json

#: Bounds of one step, far above what a model does and far below what would hurt a worker.
MAX_CALLS_PER_STEP: Final = 128
MAX_ARGUMENT_CHARS_PER_STEP: Final = 1_048_576
#: Of a tool's name and of a call's id.
MAX_NAME_CHARS: Final = 256


class FunctionDelta(Struct):
    """A fragment of a call; ``arguments`` is an object where a server does not write text."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallDelta(Struct):
    """A fragment of one of the step's calls."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(Struct):
    """What a chunk adds; reasoning has two names in the field, none in the API's reference."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(Struct):
    """The one choice of a chunk."""

    delta: Delta | None = None
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


class ChatStep:
    """Takes the chunks of one step, sends text on at once, and keeps what the next step needs.

    Used by one task on the ``io`` loop, then read by the turn's thread.
    """

    def __init__(self, emit: Callable[[str | AnyEvent], None]) -> None:
        self._emit = emit
        self._text: list[str] = []
        self._calls: list[_Call] = []
        self._latest_at: dict[int, _Call] = {}
        self._argument_chars = 0
        self._finished = False
        #: Whether the provider has said that nothing follows.
        self.ended = False
        self.usage = Usage()

    def take(self, message: SseMessage) -> None:
        """Take the next event; raises UpstreamError if it is malformed or tells an error."""
        data = message.data.strip()
        if self.ended or not data:
            return
        if data == b"[DONE]":
            self.ended = True
            return
        try:
            chunk = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise malformed_answer() from error
        if chunk.error is not None or chunk.object == "error" or message.event == b"error":
            raise _reported(chunk)
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if chunk.choices:
            self._take_choice(chunk.choices[0])

    def close(self) -> None:
        """Check that the step is whole; raises UpstreamError if not."""
        if not self.ended and not self._finished:
            raise incomplete_answer()
        if any(not call.name for call in self._calls):
            raise malformed_answer()

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self._text)

    @property
    def calls(self) -> list[CallRequest]:
        """The tool calls, in the order in which they began."""
        return [CallRequest(call.id, call.name, "".join(call.arguments)) for call in self._calls]

    def _take_choice(self, choice: Choice) -> None:
        if choice.finish_reason:
            self._finished = True
        delta = choice.delta
        if delta is None:
            return
        thinking = delta.reasoning_content or delta.reasoning
        if thinking:
            self._emit(Thinking(thinking))
        for text in (delta.content, delta.refusal):
            if text:
                self._text.append(text)
                self._emit(text)
        for fragment in delta.tool_calls or ():
            self._take_fragment(fragment)

    def _take_fragment(self, fragment: CallDelta) -> None:
        call = self._call_of(fragment)
        call.given_id = fragment.id or call.given_id
        function = fragment.function or FunctionDelta()
        call.name = call.name or function.name or ""
        arguments = function.arguments or ""
        if isinstance(arguments, dict):
            arguments = encode_json(arguments).decode()
        call.arguments.append(arguments)
        self._argument_chars += len(arguments)
        if (
            len(call.name) > MAX_NAME_CHARS
            or len(call.given_id) > MAX_NAME_CHARS
            or self._argument_chars > MAX_ARGUMENT_CHARS_PER_STEP
        ):
            raise malformed_answer()

    def _call_of(self, fragment: CallDelta) -> _Call:
        """Find the call that a fragment belongs to, or begin it.

        Some servers leave the index out, some give every call index 0: then a new id, or else a
        second name, is a new call.
        """
        if fragment.index is None:
            call = self._calls[-1] if self._calls else None
            named = fragment.function is not None and bool(fragment.function.name)
            begins = named and not fragment.id
        else:
            call = self._latest_at.get(fragment.index)
            begins = False
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
        self._own_id = f"call_{secrets.token_hex(12)}"

    @property
    def id(self) -> str:
        return self.given_id or self._own_id

    def has_other_id(self, given_id: str | None) -> bool:
        return bool(given_id and self.given_id and given_id != self.given_id)


def _reported(chunk: Chunk) -> UpstreamError:
    error = chunk.error if isinstance(chunk.error, dict) else {}
    return reported_error(error.get("status"), error.get("code"), chunk.code)


def _usage(usage: ChunkUsage) -> Usage:
    given, taken = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return Usage(given, taken, usage.total_tokens or given + taken)
