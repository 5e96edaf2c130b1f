"""Event types, event ids and their one JSON codec."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

#: Sequence number of a terminal event written on behalf of a dead worker.
LOST_SEQ: Final = 1_000_000_000

EVENT_ID_PATTERN: Final = r"^(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})\Z"
_EVENT_ID = re.compile(EVENT_ID_PATTERN, re.ASCII)
#: An id, and the mark of its run where the reader has one.
CURSOR_PATTERN: Final = r"^(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})(\.[0-9a-f]{12})?\Z"
_CURSOR = re.compile(CURSOR_PATTERN, re.ASCII)


class EventId(Struct, frozen=True, order=True, gc=False):
    """``<turn>-<seq>``; compares in the order of a session's events."""

    turn: int
    seq: int

    def __str__(self) -> str:
        return f"{self.turn}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> EventId:
        """Read an id; raises ValueError when it is not ``<turn>-<seq>``."""
        match = _EVENT_ID.match(text)
        if match is None:
            raise ValueError("an event id is <turn>-<seq>")
        return cls(int(match[1]), int(match[2]))


class Cursor(NamedTuple):
    """Where a reader stands: ``<turn>-<seq>``, or ``<turn>-<seq>.<mark>``.

    Numbers begin again with a session that is deleted, or lost by its store. The ``mark`` is of the
    run that made the event; of another run's turn the place is none. '' for who knows no marks.
    """

    position: EventId
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.position}.{self.mark}" if self.mark else str(self.position)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor; raises ValueError when it has neither form."""
        match = _CURSOR.match(text)
        if match is None:
            raise ValueError("a cursor is <turn>-<seq> or <turn>-<seq>.<mark>")
        return cls(EventId(int(match[1]), int(match[2])), (match[3] or "")[1:])


class Event(Struct, frozen=True, tag_field="type"):
    """Something that happened in a turn; fields without a value are left out of its JSON."""


class Status(Event, frozen=True, tag="status"):
    """A line for people about what goes on."""

    content: str


class Thinking(Event, frozen=True, tag="thinking"):
    """A piece of the model's reasoning."""

    content: str


class Token(Event, frozen=True, tag="token"):
    """A piece of the answer."""

    content: str


class ToolCall(Event, frozen=True, tag="tool_call"):
    """A tool starts."""

    tool: str
    call_id: str
    input: dict[str, Any]
    status: Literal["running"] = "running"


class ToolResult(Event, frozen=True, tag="tool_result"):
    """A tool has ended; ``output`` is any JSON value."""

    tool: str
    call_id: str
    output: Any
    status: Literal["complete", "error"] = "complete"


class InputRequest(Event, frozen=True, tag="input_request"):
    """The agent asks the user something and waits."""

    request_id: str
    prompt: str
    schema: Union[dict[str, Any], UnsetType] = UNSET


class ClientTool(Struct, frozen=True, kw_only=True):
    """A tool that the client of a turn runs."""

    name: str
    description: str = ""
    #: The JSON schema of its arguments.
    parameters: dict[str, Any] = {}


class RequestedCall(Struct, frozen=True):
    """A call that the client is asked to run."""

    call_id: str
    tool: str
    input: dict[str, Any]


class ToolRequest(InputRequest, frozen=True, tag="tool_request"):
    """The agent waits for what tools of the client's give: a question to a program.

    Its answer is a list of results, see `wsgi_app.engine.turn.client_tools`; `ToolResult` events
    follow.
    """

    calls: list[RequestedCall] = []


class Gap(Event, frozen=True, tag="gap"):
    """What the reader asked for is no longer kept."""

    missed_after: str
    resumes_at: str


class Usage(Struct, frozen=True):
    """Tokens that the model provider counted; zero when it told none."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.total_tokens + other.total_tokens,
        )


class Withdrawn(Event, frozen=True, tag="withdrawn"):
    """Another worker goes on with the turn: of it counts what came up to ``after``, and from here.

    ``after`` is the last id that counts, ``<turn>-0`` if none does.
    """

    after: str


class Steered(Event, frozen=True, tag="steered"):
    """The user has said something to the running turn.

    Told when the turn has it, and again when its agent takes it; one that is never ``taken`` is the
    turn's all the same, and in the history behind its answer.
    """

    steer_id: str
    content: str
    status: Literal["waiting", "taken"] = "waiting"


class FileGiven(Event, frozen=True, tag="file"):
    """The agent gives the user a file, which ``GET /files/<file_id>`` has."""

    file_id: str
    name: str
    media_type: str
    size: int


class Done(Event, frozen=True, tag="done"):
    """The turn's answer is complete."""

    reply: str
    session_id: str
    turn_id: str
    usage: Usage = Usage()


class Error(Event, frozen=True, tag="error"):
    """The turn failed."""

    code: str
    message: str
    details: dict[str, Any] = {}
    retryable: bool = False


class Cancelled(Event, frozen=True, tag="cancelled"):
    """The turn was ended from outside."""

    reason: CancelReason


CancelReason = Literal["user", "disconnected", "interrupted", "deleted"]
Terminal = Union[Done, Error, Cancelled]
AnyEvent = Union[
    Status,
    Thinking,
    Token,
    ToolCall,
    ToolResult,
    InputRequest,
    ToolRequest,
    Gap,
    Withdrawn,
    Steered,
    FileGiven,
    Done,
    Error,
    Cancelled,
]
#: What agents may yield; the host itself writes the other types.
AGENT_EVENTS: Final = (Status, Thinking, Token, ToolCall, ToolResult)


class NumberedEvent(Struct, frozen=True, gc=False):
    """An event with its id and its JSON, encoded once for all its readers.

    Nothing in it can lead back to it: without ``gc=False`` the garbage collector would look through
    the logs of all turns again and again, an eighth of a worker's CPU time (measured).
    """

    id: EventId
    event: AnyEvent
    json: bytes


class MarkedEvent(NumberedEvent, frozen=True, gc=False):
    """The first event of a run that a reader gets, with that run's mark."""

    mark: str


def _plain(value: Any) -> Any:
    """What agents' data may hold beside JSON's types: subclasses of these, pydantic's models."""
    # Not str(value) and the like: a subclass may have another form.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value)} has no form in JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode_json(value: Any) -> bytes:
    """Encode to one line of JSON.

    A lone surrogate (half a character, as a cut token may hold) becomes U+FFFD, since UTF-8 has no
    form for it. Subclasses of text and numbers are what they extend, and pydantic's models what
    they dump. Raises TypeError for a value that JSON cannot hold.
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_without_surrogates(msgspec.to_builtins(value, enc_hook=_plain)))


def encode_event(event: AnyEvent) -> bytes:
    """Encode an event to one line of JSON; raises TypeError for tool data that is not JSON."""
    return encode_json(event)


def decode_event(json: bytes) -> AnyEvent:
    """Decode what `encode_event` made; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(json)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value
