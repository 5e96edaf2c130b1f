"""What a client of the native routes asks for beside its message: in the query and in headers."""

from __future__ import annotations

from typing import Final, NamedTuple

from flask import Request

from wsgi_app.events import Cursor
from wsgi_app.web.parse import batch_seconds, query_value
from wsgi_app.wires.native.request import NativeWire


class StreamOptions(NamedTuple):
    """How a stream is sent."""

    batch_seconds: float
    #: Whose names its events have: ``native`` or ``agentflow``.
    names: str
    #: Whether an ``event:`` line names them too.
    named: bool
    marks: bool
    #: Whether the ids have the marks, for what sends its last id back and can add nothing to it.
    marked_ids: bool
    #: Of the run that the request's cursor is of, '' for none.
    mark: str

    @classmethod
    def read(cls, request: Request, cursor: Cursor | None = None) -> StreamOptions:
        """Read them; raises RequestError, before there is a turn."""
        if cursor is None and not request.args and "X-Run-Marks" not in request.headers:
            return PLAIN  # as nearly all ask for
        return cls(
            batch_seconds(request),
            query_value(request, "wire", NativeWire, "native"),
            request.args.get("named") == "1",
            wants_marks(request),
            request.args.get("marks") == "ids",
            "" if cursor is None else cursor.mark,
        )


PLAIN: Final = StreamOptions(0.0, "native", named=False, marks=False, marked_ids=False, mark="")


def wants_marks(request: Request) -> bool:
    """Whether the client asks for the marks of runs, in the query or by a header."""
    return request.headers.get("X-Run-Marks") == "1" or request.args.get("marks") in ("1", "ids")


def wants_json(request: Request) -> bool:
    """Whether the client prefers one JSON answer to a stream.

    Equal weights mean a stream: many clients send ``application/json, text/plain, */*`` always.
    """
    if "application/" not in request.headers.get("Accept", "").lower():
        return False  # as nearly all: reading the header takes a fiftieth of a short turn
    accept = request.accept_mimetypes
    return accept["application/json"] > accept["text/event-stream"]
