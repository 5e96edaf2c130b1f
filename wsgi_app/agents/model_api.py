"""What the agent needs of a model's API, whichever it is: conversations and their steps."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from wsgi_app.agents.answer_end import check_end
from wsgi_app.agents.provider_json import TextJoiner, count_of
from wsgi_app.agents.sse_reader import SseMessage
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.tools import AnyTool
from wsgi_app.agents.upstream_errors import malformed_answer
from wsgi_app.events import AnyEvent, Thinking, ToolResult, Usage, encode_json

#: Bounds of one step, far above what a model does and far below what would hurt a worker.
MAX_CALLS_PER_STEP: Final = 128
MAX_ARGUMENT_CHARS_PER_STEP: Final = 1_048_576
MAX_NAME_CHARS: Final = 256
#: Some gateways keep the model's signed reasoning in the calls' ids.
MAX_CALL_ID_CHARS: Final = 16_384
MAX_TOKEN_COUNT: Final = 2**53

#: What the agent itself says in each request, or what would be no field of it.
_RESERVED: Final = frozenset(
    {"model", "messages", "input", "instructions", "tools", "stream", "stream_options"}
    | {"extra_body", "extra_headers", "extra_query", "timeout"}
)


class Prompt(NamedTuple):
    """What all requests of a turn have in common.

    ``options`` are further fields of each, ``kept`` gives what earlier turns have kept with a call.
    """

    model: str
    system: str | None
    tools: Sequence[AnyTool]
    options: dict[str, Any]
    kept: Callable[[str], Any]


class ModelRequest(NamedTuple):
    """A request to the model.

    ``path`` is that of the API, below the provider's base URL; ``options`` are further fields,
    which the package may not know, as other servers have them.
    """

    path: str
    fields: dict[str, Any]
    options: dict[str, Any]


class Conversation(Protocol):
    """A turn's exchange with the model, in the shape of one API.

    Made of the prompt, the chat messages of earlier turns, and the user's message.

    Used by the turn's thread, and by one task on the ``io`` loop while that thread waits for it.
    """

    def begin_step(self, emit: Callable[[str | AnyEvent], None]) -> ModelStep:
        """Make the step that reads the next answer; it replaces one that was not finished."""
        ...

    def request(self) -> ModelRequest:
        """Write the next request."""
        ...

    def answer(self) -> list[Any]:
        """What of the last step's answer goes into the next request, as JSON."""
        ...

    def add(self, answer: Sequence[Any], results: Sequence[ToolResult], *, spoke: bool) -> None:
        """Take a step's answer and its calls' results into the next request.

        ``spoke``: whether the answer had text.
        """
        ...

    def say(self, texts: Sequence[str]) -> None:
        """Take what the user has said meanwhile into the next request."""
        ...

    def shorten(self) -> bool:
        """Leave the older half of the history out of the next request; False if there is none."""
        ...

    def kept(self) -> dict[str, Any] | None:
        """What the provider wants back with the last step's calls in later turns; None: nothing."""
        ...


class ModelStep(ABC):
    """One step of the model's answer, put together from its stream.

    Its finish reason ends it: what follows may count its tokens, and need not come. ``[DONE]``, or
    an event of the Responses API that ends a response, means that nothing follows. From a server
    that reports reasons, ``[DONE]`` without one is no end, see `answer_end` for all else.

    Sends text on at once and keeps what the next step needs. ``has_spoken``: whether an earlier
    step of the turn had text. Used by one task on the ``io`` loop, then read by the turn's thread.
    """

    def __init__(self, emit: Callable[[str | AnyEvent], None], *, has_spoken: bool = False) -> None:
        self._emit = emit
        self._has_spoken = has_spoken
        self._text: list[str] = []
        self._text_joiner = TextJoiner()
        self._thinking_joiner = TextJoiner()
        self._argument_chars = 0
        #: Whether the provider has said that nothing follows.
        self.ended = False
        #: Why the answer ended, None as long as it has not.
        self.finish_reason: str | None = None
        self.usage = Usage()
        #: Whether the user has seen anything of the step.
        self.was_seen = False
        #: How many pieces of an answer have come, of whatever kind.
        self.pieces = 0

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self._text)

    @property
    def has_effect(self) -> bool:
        """Whether the user has seen anything of the step, or the provider counted anything."""
        return self.was_seen or self.usage != Usage()

    @property
    @abstractmethod
    def calls(self) -> list[CallRequest]:
        """The tool calls, in the order in which they began."""

    def take(self, message: SseMessage) -> None:
        """Take the next event; raises UpstreamError if it is malformed or shows an error."""
        data = message.data.strip()
        if data == b"[DONE]":
            self.ended = True
        elif data and not self.ended:
            self._take(data, message.event)

    def close(self) -> None:
        """Take the answer's end, and tell the user if its text is cut off.

        Raises UpstreamError if the answer is not whole.
        """
        self._think(self._thinking_joiner.close())
        self._say(self._text_joiner.close())
        check_end(
            self.finish_reason,
            has_text=bool(self._text),
            has_spoken=self._has_spoken or bool(self._text),
            calls=self.calls,
            emit=self._emit,
        )

    @property
    def is_finished(self) -> bool:
        """Whether the provider has said that the answer is over, and why it ended."""
        return self.finish_reason is not None

    @abstractmethod
    def _take(self, data: bytes, event: bytes) -> None:
        """Take the data of an event."""

    def _say(self, text: str | None) -> None:
        if text:
            self.pieces += 1
            whole = self._text_joiner.feed(text)
            if whole:
                self.was_seen = True
                self._text.append(whole)
                self._emit(whole)

    def _think(self, text: str | None) -> None:
        if text:
            self.pieces += 1
            whole = self._thinking_joiner.feed(text)
            if whole:
                self.was_seen = True
                self._emit(Thinking(whole))

    def _count_tokens(self, given: Any, taken: Any, total: Any) -> None:
        """Note the provider's count, unless it is an empty one, as some send before the real."""
        counts = [min(count_of(count), MAX_TOKEN_COUNT) for count in (given, taken, total)]
        if any(counts):
            self.usage = Usage(counts[0], counts[1], counts[2] or counts[0] + counts[1])

    def _check_call(self, call_id: str, name: str, more_argument_chars: int) -> None:
        self.pieces += 1
        self._argument_chars += more_argument_chars
        if (
            len(name) > MAX_NAME_CHARS
            or len(call_id) > MAX_CALL_ID_CHARS
            or self._argument_chars > MAX_ARGUMENT_CHARS_PER_STEP
        ):
            raise malformed_answer()


def new_call_id() -> str:
    """An id for a call to which the provider gave none."""
    return f"call_{secrets.token_hex(12)}"


def sendable(value: Any) -> Any:
    """A JSON value without lone surrogates, which no request can hold."""
    return msgspec.json.decode(encode_json(value))


def checked_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Copy an agent's options for its requests.

    Raises ValueError for fields that the agent itself sets, TypeError for what is no JSON.
    """
    reserved = _RESERVED.intersection(options or ())
    if reserved:
        raise ValueError(f"options cannot set {', '.join(sorted(reserved))}")
    copied: dict[str, Any] = msgspec.json.decode(encode_json(dict(options or {})))
    return copied
