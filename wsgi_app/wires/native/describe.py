"""The native routes."""

from __future__ import annotations

from typing import Annotated, Final, Union

from msgspec import Meta

from wsgi_app.events import CURSOR_PATTERN, AnyEvent, Token, ToolCall, ToolResult
from wsgi_app.web import access, health, page
from wsgi_app.web.answers import (
    CancelAnswer,
    DeleteAnswer,
    HealthAnswer,
    NotReadyBody,
    Okay,
    PollAnswer,
    ReadyAnswer,
    SessionAnswer,
    SessionEventObject,
    SessionsAnswer,
    TicketAnswer,
    TurnAnswer,
)
from wsgi_app.web.ids import SESSION_ID_PATTERN
from wsgi_app.web.openapi.operation import (
    BEGIN_CODES,
    BODY_CODES,
    JSON,
    READ_CODES,
    STORE_CODES,
    TEXT,
    TURN_CODES,
    Content,
    Events,
    Operation,
    Operations,
    Reply,
    Socket,
    Text,
    answers,
)
from wsgi_app.web.parse import (
    BatchMilliseconds,
    CancelBody,
    ChatBody,
    InputBody,
    NativeWire,
    NewChatBody,
    PollWaitSeconds,
)
from wsgi_app.wires.native.routes import chat, probe, read, sessions, websocket

Sessions = Annotated[
    list[Annotated[str, Meta(pattern=SESSION_ID_PATTERN)]],
    Meta(
        min_length=1,
        max_length=read.MAX_SESSIONS_PER_STREAM,
        extra_json_schema={"uniqueItems": True},
    ),
]
#: An event's id, or nothing.
Cursor = Annotated[str, Meta(extra_json_schema={"pattern": rf"^$|{CURSOR_PATTERN}"})]
Named = Annotated[str, Meta(description="`1` adds `event:` lines, for addEventListener.")]
Marks = Annotated[str, Meta(description="`1` tells the mark of each run with its first event.")]
STREAM_QUERY: Final = {
    "batch_ms": BatchMilliseconds,
    "named": Named,
    "wire": NativeWire,
    "marks": Marks,
}
TURN_HEADERS: Final = ("X-Session-Id", "X-Turn-Id")


class MessageChunk(Token, frozen=True, tag="message_chunk"):
    """A token, as `?wire=agentflow` names it."""


class ToolStart(ToolCall, frozen=True, tag="tool_start"):
    """A tool starts, as `?wire=agentflow` names it."""


class ToolEnd(ToolResult, frozen=True, tag="tool_end"):
    """A tool has ended, as `?wire=agentflow` names it."""


EVENTS: Final = Events(data=(AnyEvent, Union[MessageChunk, ToolStart, ToolEnd]), numbered=True)
MANY_EVENTS: Final = Events(data=(SessionEventObject, AnyEvent), numbered=True)
NOTHING: Final = Reply("Nothing runs, and nothing is left to replay.")
_ASKED: Final = "Whole if the request's Accept prefers JSON to a stream, else a stream."


def _begins(body: type[ChatBody]) -> Operation:
    return Operation(
        group="Turns",
        body=body,
        query={**STREAM_QUERY, "last_event_id": Cursor},
        headers=("Last-Event-ID", "Idempotency-Key"),
        replies={200: Reply(_ASKED, (EVENTS, Content(JSON, TurnAnswer)), TURN_HEADERS)},
        codes=(
            *(*BODY_CODES, *BEGIN_CODES, *TURN_CODES),
            *("input_required", "cancelled", "not_found"),
        ),
    )


OPERATIONS: Final[Operations] = {
    chat.post_new_chat: _begins(NewChatBody),
    chat.post_chat: _begins(ChatBody),
    chat.post_cancel: Operation(
        group="Turns",
        body=CancelBody,
        body_optional=True,
        replies=answers(CancelAnswer, "Answered when the turn has ended, or after a second."),
        codes=(*BODY_CODES, *STORE_CODES),
    ),
    chat.post_input: Operation(
        group="Turns",
        body=InputBody,
        replies=answers(Okay, "The agent has its answer."),
        codes=(*BODY_CODES, *STORE_CODES, "no_pending_input"),
    ),
    read.get_events: Operation(
        group="Reading",
        query={**STREAM_QUERY, "last_event_id": Cursor},
        headers=("Last-Event-ID",),
        replies={
            200: Reply("The events after the cursor, then live.", (EVENTS,), TURN_HEADERS),
            204: NOTHING,
        },
        codes=("invalid_request", *READ_CODES),
        description=(
            "Everything after Last-Event-ID, then live until the newest turn's end; without a"
            " cursor the running turn. An EventSource that cannot be served now gets 200 with a"
            " `status` event, and comes back."
        ),
    ),
    read.get_poll: Operation(
        group="Reading",
        query={"after": Cursor, "wait": PollWaitSeconds, "marks": Marks},
        replies={**answers(PollAnswer, "The events after the cursor."), 204: NOTHING},
        codes=("invalid_request", "not_found", "draining", *STORE_CODES),
    ),
    read.get_many_events: Operation(
        group="Reading",
        query={
            "session": Sessions,
            "last_event_id": Text,
            "batch_ms": BatchMilliseconds,
            "named": Named,
            "marks": Marks,
        },
        headers=("Last-Event-ID",),
        replies={200: Reply("Goes on from turn to turn; its id is for all.", (MANY_EVENTS,))},
        codes=("invalid_request", *READ_CODES),
    ),
    access.post_ticket: Operation(
        group="Reading",
        replies=answers(TicketAnswer, "For ?ticket= on this session's streams."),
        codes=("invalid_request", *STORE_CODES),
    ),
    websocket.websocket: Operation(
        group="Reading",
        replies={101: Reply("The connection is a WebSocket now.")},
        codes=("invalid_request", "not_found", *READ_CODES),
        socket=Socket(client=websocket.Frame, server=AnyEvent),
        description=(
            "The client sends what `x-websocket` calls `client`, the host sends `server`: events,"
            " each with its `id`; one without an `id` is an error about what the client sent."
        ),
    ),
    probe.post_probe: Operation(
        group="Operation",
        body=probe.ProbeBody,
        body_optional=True,
        replies={
            200: Reply(
                _ASKED,
                (EVENTS, Content(JSON, TurnAnswer)),
                (*TURN_HEADERS, probe.KEEPALIVE_HEADER, probe.TURN_TIMEOUT_HEADER),
            )
        },
        codes=(*BODY_CODES, *BEGIN_CODES, *TURN_CODES, "cancelled", "not_found"),
    ),
    sessions.get_session: Operation(
        group="Sessions",
        replies=answers(SessionAnswer, "The session."),
        codes=("invalid_request", "not_found", *STORE_CODES),
    ),
    sessions.delete_session: Operation(
        group="Sessions",
        replies=answers(DeleteAnswer, "Whether there was one; the answer to a repetition too."),
        codes=("invalid_request", *STORE_CODES),
    ),
    sessions.get_sessions: Operation(
        group="Sessions",
        query={"limit": sessions.PageSize, "cursor": Text},
        replies=answers(SessionsAnswer, "A page of the tenant's sessions."),
        codes=("invalid_request", *STORE_CODES),
    ),
    health.get_healthz: Operation(group="Operation", replies=answers(HealthAnswer)),
    health.get_readyz: Operation(
        group="Operation",
        replies={
            **answers(ReadyAnswer),
            503: Reply("Not now; `code` says why.", (Content(JSON, NotReadyBody),)),
        },
    ),
    health.get_metrics: Operation(
        group="Operation",
        replies={200: Reply("Prometheus' text format.", (Content(TEXT),))},
        description="With AGENT_METRICS_LOCAL no token is needed from this machine itself.",
    ),
    page.get_client: Operation(
        group="Files", replies={200: Reply("JavaScript.", (Content("text/javascript"),))}
    ),
    page.get_client_types: Operation(
        group="Files", replies={200: Reply("TypeScript.", (Content("application/typescript"),))}
    ),
}
