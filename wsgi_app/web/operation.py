"""The description of a route beside its view: parameters, body, answers, error codes."""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple, Optional, Union

from msgspec import Meta, Struct

from wsgi_app.frames import sse

JSON: Final = "application/json"
TEXT: Final = "text/plain"

#: What any route with a login may refuse.
LOGIN_CODES: Final = ("unauthorized", "forbidden")
#: What reading a JSON body may refuse.
BODY_CODES: Final = (
    "invalid_json",
    "length_required",
    "too_large",
    "unsupported_media_type",
    "invalid_request",
)
STORE_CODES: Final = ("store_unavailable",)
#: What reading a turn may be refused with.
READ_CODES: Final = (*STORE_CODES, "too_many_readers", "at_capacity", "draining")
#: What beginning a turn may be refused with.
BEGIN_CODES: Final = (
    *READ_CODES,
    *("session_busy", "idempotency_key_reused", "rate_limited"),
    *("queue_full", "too_many_turns", "too_many_sessions"),
)
#: How a turn may end that a request waits for.
TURN_CODES: Final = (
    *("agent_error", "step_limit", "output_too_large", "upstream_error"),
    *("turn_timeout", "worker_lost", "worker_shutdown"),
)

Text = Annotated[str, Meta(max_length=4096)]


class Header(NamedTuple):
    """A header that this route's requests or answers have, and no other route's."""

    name: str
    description: str
    schema: dict[str, Any]


class Content(Struct, frozen=True):
    """An answer's or a request's content: the type of a JSON document, or text."""

    media_type: str = JSON
    kind: Any = str


class Events(Struct, frozen=True, kw_only=True):
    """A stream of server-sent events: the types that each one's data may be of."""

    data: tuple[Any, ...]
    #: Data that is no JSON, at the stream's end.
    last: Optional[str] = None
    numbered: bool = False
    media_type: str = sse.MIME_TYPE


class Socket(Struct, frozen=True, kw_only=True):
    """What both ends of a WebSocket send, each message a JSON document."""

    client: Any
    server: Any


class Reply(Struct, frozen=True):
    """What a route answers under one status."""

    description: str
    content: tuple[Union[Content, Events], ...] = ()
    headers: tuple[Union[str, Header], ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """A route; the codes are those of its refusals."""

    group: str
    replies: dict[int, Reply]
    codes: tuple[str, ...] = ()
    body: Any = None
    #: Whether the body may be missing.
    body_optional: bool = False
    query: dict[str, Any] = {}
    headers: tuple[Union[str, Header], ...] = ()
    socket: Optional[Socket] = None
    #: What the summary does not say.
    description: str = ""


def answers(kind: Any, description: str = "The answer.") -> dict[int, Reply]:
    """One answer, a JSON document."""
    return {200: Reply(description, (Content(JSON, kind),))}


def file_of(group: str, media_type: str) -> Operation:
    """A route that returns a file."""
    return Operation(group=group, replies={200: Reply("The file.", (Content(media_type),))})
