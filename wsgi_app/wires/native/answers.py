"""What the native routes answer in JSON; fields without a value are left out."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from msgspec import UNSET, Meta, Struct, UnsetType

from wsgi_app.events import EVENT_ID_PATTERN, Usage
from wsgi_app.web.answers import Okay

#: As RFC 3339 writes it, in UTC.
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
EventIdText = Annotated[str, Meta(extra_json_schema={"pattern": EVENT_ID_PATTERN})]


def _event_with(*names: str, more: tuple[str, ...] = ()) -> Meta:
    fields = {name: {"type": "string"} for name in (*names, *more)}
    event = {"$ref": "#/components/schemas/Event"}
    return Meta(extra_json_schema={"allOf": [event], "properties": fields, "required": names})


#: A native event with its ``id`` and, if it is a run's first, its mark; and among many sessions'.
EventObject = Annotated[dict[str, Any], _event_with("id", more=("run",))]
SessionEventObject = Annotated[dict[str, Any], _event_with("id", "session_id")]


class TurnAnswer(Struct):
    """A whole turn."""

    session_id: str
    turn_id: str
    reply: str
    usage: Usage


class SteerAnswer(Okay, kw_only=True):
    """Which turn has the message; ``event_id`` is that of its ``steered`` event."""

    turn_id: str
    steer_id: str
    event_id: EventIdText


class FileAnswer(Struct, kw_only=True):
    """A file that is kept; ``id`` names it in messages of its session."""

    id: str
    session_id: str
    name: str
    media_type: str
    size: int


class DeleteAnswer(Okay, kw_only=True):
    """Whether there was a session to forget."""

    deleted: bool


class TicketAnswer(Struct):
    """What opens one session's streams without a header; ``expires_in`` is in seconds."""

    ticket: str
    expires_in: int


class PollAnswer(Struct):
    """Events, and the cursor behind them."""

    events: list[EventObject]
    next: EventIdText
    running: bool


class ShownFile(Struct):
    """A file of a message; without ``file_id`` one that came inside of its request."""

    name: str
    media_type: str
    size: int
    file_id: Union[str, UnsetType] = UNSET


class ShownMessage(Struct):
    """A message of the session's history."""

    role: str
    content: str
    #: Whether the user said it to a turn that was running.
    steered: Union[bool, UnsetType] = UNSET
    #: What came with it, or was given with it.
    files: Union[list[ShownFile], UnsetType] = UNSET


class SessionSummary(Struct, kw_only=True):
    """A session in the list."""

    session_id: str
    state: Literal["idle", "running"]
    turn_id: str
    created_at: Time
    updated_at: Time


class SessionAnswer(SessionSummary, kw_only=True):
    """A session with its messages; ``owner`` is the worker that ran its newest turn.

    Its name, to the scope ``admin``; to others an opaque one, the same for the same worker.
    """

    owner: str
    messages: list[ShownMessage]


class SessionsAnswer(Struct):
    """A page of sessions; ``next_cursor`` is there if another page follows.

    ``takes_files``: whether files may be sent along, see ``POST /files``.
    """

    sessions: list[SessionSummary]
    next_cursor: Union[str, UnsetType] = UNSET
    takes_files: Union[bool, UnsetType] = UNSET
