"""The native wire: each event as its own JSON under its own id."""

from __future__ import annotations

from typing import Any

from wsgi_app.events import (
    Cursor,
    Done,
    MarkedEvent,
    NumberedEvent,
    Status,
    encode_event,
    encode_json,
    plain_object,
    type_of,
)
from wsgi_app.frames.sse import frame, numbered_frame


def encode_frame(
    numbered: NumberedEvent,
    *,
    named: bool = False,
    retry_milliseconds: int | None = None,
    mark: str = "",
) -> bytes:
    """Make an event's SSE frame; ``named`` adds an ``event:`` line for addEventListener.

    ``mark``: of the event's run, for its id.
    """
    if not named and not mark:
        event_id = numbered.id
        return numbered_frame(
            event_id.turn, event_id.seq, numbered.json, retry_milliseconds=retry_milliseconds
        )
    return frame(
        numbered.json,
        event_id=str(Cursor(numbered.id, mark)),
        event=type_of(numbered.event) if named else "",
        retry_milliseconds=retry_milliseconds,
    )


def mark_comment(numbered: NumberedEvent) -> bytes:
    """What stands before the first event of a run, for clients that ask for marks."""
    return b": run %s\n" % numbered.mark.encode() if isinstance(numbered, MarkedEvent) else b""


def encode_session_frame(
    numbered: NumberedEvent,
    session_id: str,
    cursor: str,
    *,
    named: bool = False,
    retry_milliseconds: int | None = None,
) -> bytes:
    """Make the frame of an event among those of many sessions.

    Its data names its session and its own id; the frame's id is the ``cursor`` behind it.
    """
    names = {"id": str(numbered.id)}
    if not isinstance(numbered.event, Done):  # which names its session itself
        names["session_id"] = session_id
    return frame(
        encode_json(names)[:-1] + b"," + numbered.json[1:],
        event_id=cursor,
        event=type_of(numbered.event) if named else "",
        retry_milliseconds=retry_milliseconds,
    )


def encode_refusal(message: str, last_event_id: str, retry_milliseconds: int) -> bytes:
    """Tell an EventSource to come back: a 5xx would end its retries for good."""
    return frame(
        encode_event(Status(message)),
        event_id=last_event_id,
        retry_milliseconds=retry_milliseconds,
    )


def with_id(numbered: NumberedEvent, *, marks: bool = False) -> dict[str, Any]:
    """Make an event's object with its ``id``, for answers that are one JSON document.

    With ``marks`` the first of a run has its mark too.
    """
    mark = {"run": numbered.mark} if marks and isinstance(numbered, MarkedEvent) else {}
    return {"id": str(numbered.id), **mark, **plain_object(numbered.event)}
