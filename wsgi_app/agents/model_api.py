"""What the agent needs of a model's API, whichever it is: conversations and their steps."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec
from openai import NOT_GIVEN, AsyncAPIResponse, AsyncOpenAI

from wsgi_app.agents.sse_reader import SseMessage
from wsgi_app.agents.tools import AnyTool, CallRequest, parse_object
from wsgi_app.agents.upstream_errors import (
    cut_answer,
    filtered_answer,
    incomplete_answer,
    malformed_answer,
)
from wsgi_app.events import AnyEvent, Status, Thinking, ToolResult, Usage, encode_json

T = TypeVar("T")

#: Bounds of one step, far above what a model does and far below what would hurt a worker.
MAX_CALLS_PER_STEP: Final = 128
MAX_ARGUMENT_CHARS_PER_STEP: Final = 1_048_576
MAX_NAME_CHARS: Final = 256
#: Some gateways keep the model's signed reasoning in the calls' ids.
MAX_CALL_ID_CHARS: Final = 16_384
MAX_TOKEN_COUNT: Final = 2**53

#: Why a step ended, in the words of the chat API.
STOP: Final = "stop"
LENGTH: Final = "length"
CONTENT_FILTER: Final = "content_filter"

CUT_OFF: Final = "The answer is cut off: it reached the model's length limit."

#: What the agent itself says in each request, or what would be no field of it.
_RESERVED: Final = frozenset(
    {"model", "messages", "input", "instructions", "tools", "stream", "stream_options"}
    | {"extra_body", "extra_headers", "extra_query", "timeout"}
)


#: What the openai package's methods insist on; an argument without a value is one to them.
_REQUIRED: Final = frozenset({"model", "messages", "input"})


class Prompt(NamedTuple):
    """What all requests of a turn have in common; ``options`` are further fields of each."""

    model: str
    system: str | None
    tools: Sequence[AnyTool]
    options: dict[str, Any]


def open_request(
    create: Any, request: dict[str, Any], options: dict[str, Any], *, typed: bool
) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
    """Call a method of the openai package with the fields of a request, and further ones.

    The package goes through each field to give it its API's name, which it has: 3.7 ms for 20
    messages and 5 tools (measured, openai 3.52), a quarter of a millisecond for the others, during
    which no other turn of the worker gets a token. So they go beside that, unless ``typed``: tools
    that look into a client's calls find them in the arguments alone.
    """
    # Fields that the package does not know, as other servers have them, go beside it in any case.
    arguments, body = dict(request), dict(options)
    if not typed:
        body |= request
        arguments = dict.fromkeys(_REQUIRED & request.keys(), NOT_GIVEN)
        arguments["stream"] = request["stream"]
    opened: AbstractAsyncContextManager[AsyncAPIResponse[Any]]
    opened = create(**arguments, extra_body=body)
    return opened


class Conversation(Protocol):
    """A turn's exchange with the model, in the shape of one API.

    Used by the turn's thread, and by one task on the ``io`` loop while that thread waits for it.
    """

    def begin_step(self, emit: Callable[[str | AnyEvent], None]) -> ModelStep:
        """Make the step that reads the next answer; it replaces one that was not finished."""
        ...

    def send(
        self, client: AsyncOpenAI, *, typed: bool
    ) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
        """Prepare the next request, for its raw answer; it is sent on entering.

        See `open_request` for ``typed``.
        """
        ...

    def add_results(self, results: Sequence[ToolResult]) -> None:
        """Take the last step's answer and its calls' results into the next request."""
        ...


class ModelStep(ABC):
    """One step of the model's answer, put together from its stream.

    Sends text on at once and keeps what the next step needs. Used by one task on the ``io`` loop,
    then read by the turn's thread.
    """

    def __init__(self, emit: Callable[[str | AnyEvent], None]) -> None:
        self._emit = emit
        self._text: list[str] = []
        self._argument_chars = 0
        #: Whether the provider has said that nothing follows.
        self.ended = False
        #: Why the answer ended, None as long as it has not.
        self.finish_reason: str | None = None
        self.usage = Usage()
        #: Whether the user has seen anything of the step, or the provider has counted anything.
        self.has_effect = False

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self._text)

    @property
    @abstractmethod
    def calls(self) -> list[CallRequest]:
        """The tool calls, in the order in which they began."""

    def take(self, message: SseMessage) -> None:
        """Take the next event; raises UpstreamError if it is malformed or tells an error."""
        data = message.data.strip()
        if data == b"[DONE]":
            self.ended = True
        elif data and not self.ended:
            self._take(data, message.event)

    def close(self) -> None:
        """Take the answer's end, and tell the user if its text is cut off.

        Raises UpstreamError if the answer is not whole.
        """
        if not self.is_finished:
            raise incomplete_answer()
        if self.finish_reason == CONTENT_FILTER:
            raise filtered_answer()
        calls = self.calls
        if self.finish_reason == LENGTH:
            self._check_cut(calls)
        if any(not call.tool for call in calls):
            raise malformed_answer()

    @property
    def is_finished(self) -> bool:
        """Whether the provider has said that the answer is over."""
        return self.ended or self.finish_reason is not None

    @abstractmethod
    def _take(self, data: bytes, event: bytes) -> None:
        """Take the data of an event."""

    def _check_cut(self, calls: list[CallRequest]) -> None:
        if any(parse_object(call.arguments) is None for call in calls):
            raise cut_answer()
        if not calls:
            if not self._text:
                raise cut_answer()
            self._emit(Status(CUT_OFF))

    def _say(self, text: str | None) -> None:
        if text:
            self.has_effect = True
            self._text.append(text)
            self._emit(text)

    def _think(self, text: str | None) -> None:
        if text:
            self.has_effect = True
            self._emit(Thinking(text))

    def _count_tokens(self, given: int | None, taken: int | None, total: int | None) -> None:
        """Note the provider's count, unless it is an empty one, as some send before the real."""
        counts = [min(max(count or 0, 0), MAX_TOKEN_COUNT) for count in (given, taken, total)]
        if any(counts):
            self.has_effect = True
            self.usage = Usage(counts[0], counts[1], counts[2] or counts[0] + counts[1])

    def _check_call(self, call_id: str, name: str, more_argument_chars: int) -> None:
        self._argument_chars += more_argument_chars
        if (
            len(name) > MAX_NAME_CHARS
            or len(call_id) > MAX_CALL_ID_CHARS
            or self._argument_chars > MAX_ARGUMENT_CHARS_PER_STEP
        ):
            raise malformed_answer()


def decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    """Decode the provider's JSON; raises UpstreamError if it is malformed."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed_answer() from error


def new_call_id() -> str:
    """An id for a call to which the provider gave none."""
    return f"call_{secrets.token_hex(12)}"


def arguments_text(arguments: Any) -> str:
    """A call's arguments as text; some servers send an object."""
    if arguments is not None and not isinstance(arguments, str | dict):
        raise malformed_answer()
    return encode_json(arguments).decode() if isinstance(arguments, dict) else arguments or ""


def arguments_to_repeat(arguments: str) -> str:
    """A call's arguments for the next request; some servers refuse what is no JSON object."""
    return "{}" if parse_object(arguments) is None else arguments


def sendable(text: str) -> str:
    """Text without lone surrogates, which no request can hold."""
    return text.encode("utf-8", "replace").decode()


def checked_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Copy an agent's options for its requests.

    Raises ValueError for fields that the agent itself sets, TypeError for what is no JSON.
    """
    reserved = _RESERVED.intersection(options or ())
    if reserved:
        raise ValueError(f"options cannot set {', '.join(sorted(reserved))}")
    copied: dict[str, Any] = msgspec.json.decode(encode_json(dict(options or {})))
    return copied
