"""Event types and their one JSON codec."""

from __future__ import annotations

from typing import Any, Final, Literal, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

from wsgi_app.event_ids import CURSOR_PATTERN as CURSOR_PATTERN
from wsgi_app.event_ids import EVENT_ID_PATTERN as EVENT_ID_PATTERN
from wsgi_app.event_ids import LOST_SEQ as LOST_SEQ
from wsgi_app.event_ids import Cursor as Cursor
from wsgi_app.event_ids import EventId as EventId


class Event(Struct, frozen=True, tag_field="type"):
    """Something that happened in a turn; fields without a value are left out of its JSON."""


class Status(Event, frozen=True, tag="status"):
    """A line for people about what happens."""

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
    """Tokens that the model provider counted; zero when it reported none."""

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
    """Another worker continues the turn: of it counts what came up to ``after``, and from here.

    ``after`` is the last id that counts, ``<turn>-0`` if none does. Of what sub-agents said below
    ``calls``, which run again, nothing counts.
    """

    after: str
    calls: Union[list[str], UnsetType] = UNSET


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


class Handoff(Status, frozen=True):
    """Another agent speaks from here on: what follows is the turn's own, in its name."""

    agent: str


class Nested(Event, frozen=True):
    """What a sub-agent does below a call of a tool: no part of the turn's own text and calls.

    Its JSON is that of ``event``, with ``parent`` and ``agent``. It is no subclass of that event:
    what does not ask for sub-agents sees none, at no cost.
    """

    #: The id of the call that the sub-agent works for.
    parent: str
    agent: str
    event: AgentEvent


CancelReason = Literal["user", "disconnected", "interrupted", "deleted"]
Terminal = Union[Done, Error, Cancelled]
AgentEvent = Union[Status, Thinking, Token, ToolCall, ToolResult]
#: All that have a type of their own in JSON.
PlainEvent = Union[
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
AnyEvent = Union[PlainEvent, Nested]
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
_decoder: msgspec.json.Decoder[PlainEvent] = msgspec.json.Decoder(PlainEvent)


class _Origin(Struct):
    """Whose an event is; it stands in front of all else, so that others are read without a look."""

    parent: str = ""
    agent: str = ""


#: What the name of the first field begins with, ``type``, in most events.
_T: Final = ord("t")
_origin_decoder = msgspec.json.Decoder(_Origin)


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
    if type(event) is Nested or type(event) is Handoff:  # isinstance would cost as much as the rest
        return _encode_placed(event)
    return encode_json(event)


def _encode_placed(event: Nested | Handoff) -> bytes:
    if isinstance(event, Handoff):
        origin, plain = {"agent": event.agent}, encode_json(Status(event.content))
    else:
        origin = {"parent": event.parent, "agent": event.agent}
        plain = encode_event(event.event)
    return encode_json(origin)[:-1] + b"," + plain[1:]


def decode_event(json: bytes) -> AnyEvent:
    """Decode what `encode_event` made; raises msgspec.DecodeError for anything else."""
    event = _decoder.decode(json)
    return event if json[2] == _T else _placed(event, json)


def _placed(event: PlainEvent, json: bytes) -> AnyEvent:
    origin = _origin_decoder.decode(json)
    if origin.parent and isinstance(event, AGENT_EVENTS):
        return Nested(origin.parent, origin.agent, event)
    if origin.agent and isinstance(event, Status):
        return Handoff(event.content, origin.agent)
    return event


def plain_object(event: AnyEvent) -> dict[str, Any]:
    """The object that an event's JSON holds."""
    if isinstance(event, (Nested, Handoff)):
        return dict(msgspec.json.decode(_encode_placed(event)))
    return dict(msgspec.to_builtins(event))


def type_of(event: AnyEvent) -> str:
    """An event's ``type`` in JSON."""
    if isinstance(event, Nested):
        return type_of(event.event)
    return str(type(event).__struct_config__.tag)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value
