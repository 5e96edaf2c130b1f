"""The native routes."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from wsgi_app.events import CURSOR_PATTERN, PlainEvent
from wsgi_app.web.answers import CancelAnswer, Okay
from wsgi_app.web.ids import SESSION_ID_PATTERN, SessionId
from wsgi_app.web.operation import (
    BEGIN_CODES,
    BODY_CODES,
    JSON,
    READ_CODES,
    STORE_CODES,
    TURN_CODES,
    Content,
    Events,
    Header,
    Operation,
    Reply,
    Socket,
    Text,
    answers,
)
from wsgi_app.web.parse import BatchMilliseconds
from wsgi_app.wires.agentflow.describe import RenamedEvent
from wsgi_app.wires.native.answers import (
    DeleteAnswer,
    FileAnswer,
    PollAnswer,
    SessionAnswer,
    SessionEventObject,
    SessionsAnswer,
    SteerAnswer,
    TicketAnswer,
    TurnAnswer,
)
from wsgi_app.wires.native.request import (
    MAX_SESSIONS_PER_STREAM,
    CancelBody,
    ChatBody,
    Frame,
    InputBody,
    NativeWire,
    NewChatBody,
    PageSize,
    PollWaitSeconds,
    ProbeBody,
    SteerBody,
    ToolResultBody,
)

#: What a client has to know of the host to judge what it sees.
KEEPALIVE_HEADER: Final = "X-Keepalive-Seconds"
TURN_TIMEOUT_HEADER: Final = "X-Turn-Timeout-Seconds"
Sessions = Annotated[
    list[Annotated[str, Meta(pattern=SESSION_ID_PATTERN)]],
    Meta(
        min_length=1,
        max_length=MAX_SESSIONS_PER_STREAM,
        extra_json_schema={"uniqueItems": True},
    ),
]
#: An event's id, or nothing.
Cursor = Annotated[str, Meta(extra_json_schema={"pattern": rf"^$|{CURSOR_PATTERN}"})]
Named = Annotated[str, Meta(description="`1` adds `event:` lines, for addEventListener.")]
Marks = Annotated[
    str, Meta(description="`1` sends the mark of each run with its first event, `ids` in its ids.")
]
STREAM_QUERY: Final = {
    "batch_ms": BatchMilliseconds,
    "named": Named,
    "wire": NativeWire,
    "marks": Marks,
}
TURN_HEADERS: Final = ("X-Session-Id", "X-Turn-Id")
STREAM: Final = Events(data=(PlainEvent, RenamedEvent), numbered=True)
MANY_STREAM: Final = Events(data=(SessionEventObject, PlainEvent), numbered=True)
NOTHING: Final = Reply("Nothing runs, and nothing is left to replay.")
_ASKED: Final = "Whole if the request's Accept prefers JSON to a stream, else a stream."


def _begins(body: type[ChatBody]) -> Operation:
    return Operation(
        group="Turns",
        body=body,
        query={**STREAM_QUERY, "last_event_id": Cursor},
        headers=("Last-Event-ID", "Idempotency-Key"),
        replies={200: Reply(_ASKED, (STREAM, Content(JSON, TurnAnswer)), TURN_HEADERS)},
        codes=(
            *(*BODY_CODES, *BEGIN_CODES, *TURN_CODES),
            *("input_required", "cancelled", "not_found", "not_steerable"),
        ),
    )


NEW_CHAT: Final = _begins(NewChatBody)
CHAT: Final = _begins(ChatBody)
CANCEL: Final = Operation(
    group="Turns",
    body=CancelBody,
    body_optional=True,
    replies=answers(CancelAnswer, "Answered when the turn has ended, or after a second."),
    codes=(*BODY_CODES, *STORE_CODES),
)
INPUT: Final = Operation(
    group="Turns",
    body=InputBody,
    replies=answers(Okay, "The agent has its answer."),
    codes=(*BODY_CODES, *STORE_CODES, "no_pending_input"),
)
STEER: Final = Operation(
    group="Turns",
    body=SteerBody,
    headers=("Idempotency-Key",),
    replies=answers(SteerAnswer, "The turn has the message."),
    codes=(*BODY_CODES, *STORE_CODES, "not_steerable", "queue_full", "at_capacity"),
)
TOOL_RESULT: Final = Operation(
    group="Turns",
    body=ToolResultBody,
    replies=answers(Okay, "The agent has its results."),
    codes=(*BODY_CODES, *STORE_CODES, "no_pending_input"),
)
EVENTS: Final = Operation(
    group="Reading",
    query={**STREAM_QUERY, "last_event_id": Cursor},
    headers=("Last-Event-ID",),
    replies={
        200: Reply("The events after the cursor, then live.", (STREAM,), TURN_HEADERS),
        204: NOTHING,
    },
    codes=("invalid_request", *READ_CODES),
    description=(
        "Everything after Last-Event-ID, then live until the newest turn's end; without a"
        " cursor the running turn. An EventSource that cannot be served now gets 200 with a"
        " `status` event, and comes back."
    ),
)
POLL: Final = Operation(
    group="Reading",
    query={"after": Cursor, "wait": PollWaitSeconds, "marks": Marks},
    replies={**answers(PollAnswer, "The events after the cursor."), 204: NOTHING},
    codes=("invalid_request", "not_found", "draining", *STORE_CODES),
)
MANY_EVENTS: Final = Operation(
    group="Reading",
    query={
        "session": Sessions,
        "last_event_id": Text,
        "batch_ms": BatchMilliseconds,
        "named": Named,
        "marks": Marks,
    },
    headers=("Last-Event-ID",),
    replies={200: Reply("Goes on from turn to turn; its id is for all.", (MANY_STREAM,))},
    codes=("invalid_request", *READ_CODES),
)
TICKET: Final = Operation(
    group="Reading",
    replies=answers(TicketAnswer, "For ?ticket= on this session's streams."),
    codes=("invalid_request", *STORE_CODES),
)
WEBSOCKET: Final = Operation(
    group="Reading",
    replies={101: Reply("The connection is a WebSocket now.")},
    codes=("invalid_request", "not_found", *READ_CODES),
    socket=Socket(client=Frame, server=PlainEvent),
    description=(
        "The client sends what `x-websocket` calls `client`, the host sends `server`: events,"
        " each with its `id`; one without an `id` is an error about what the client sent."
    ),
)
PROBE: Final = Operation(
    group="Operation",
    body=ProbeBody,
    body_optional=True,
    replies={
        200: Reply(
            _ASKED,
            (STREAM, Content(JSON, TurnAnswer)),
            (
                *TURN_HEADERS,
                Header(KEEPALIVE_HEADER, "AGENT_KEEPALIVE_SECONDS.", {"type": "number"}),
                Header(TURN_TIMEOUT_HEADER, "AGENT_TURN_TIMEOUT_SECONDS.", {"type": "number"}),
            ),
        )
    },
    codes=(*BODY_CODES, *BEGIN_CODES, *TURN_CODES, "cancelled", "not_found"),
)
SESSION: Final = Operation(
    group="Sessions",
    replies=answers(SessionAnswer, "The session."),
    codes=("invalid_request", "not_found", *STORE_CODES),
)
FILE_CODES: Final = ("not_found", "at_capacity", *STORE_CODES)
NEW_FILE: Final = Operation(
    group="Files",
    query={"session_id": SessionId, "name": Text},
    replies={201: Reply("The file is kept.", (Content(JSON, FileAnswer),))},
    codes=(
        *("length_required", "too_large", "unsupported_media_type", "invalid_request"),
        *("invalid_json", "too_many_files", *FILE_CODES),
    ),
    description=(
        "The body is the file, with its Content-Type, or a form in multipart/form-data whose first"
        " file is kept. Images (PNG, JPEG, GIF, WebP), PDF and text, known by their content."
    ),
)
FILE: Final = Operation(
    group="Files",
    replies={200: Reply("The file, to be saved.", (Content("application/octet-stream"),))},
    codes=FILE_CODES,
)
DELETE_FILE: Final = Operation(
    group="Files",
    replies=answers(DeleteAnswer, "Whether there was one."),
    codes=FILE_CODES,
)
DELETE_SESSION: Final = Operation(
    group="Sessions",
    replies=answers(DeleteAnswer, "Whether there was one; the answer to a repetition too."),
    codes=("invalid_request", *STORE_CODES),
)
SESSIONS: Final = Operation(
    group="Sessions",
    query={"limit": PageSize, "cursor": Text},
    replies=answers(SessionsAnswer, "A page of the tenant's sessions."),
    codes=("invalid_request", *STORE_CODES),
)
