"""Server-sent event frames (WHATWG HTML, section 9.2), in the one form that every client accepts.

Lines end in LF, an event is one ``data:`` line. A keep-alive is a comment line with one newline:
with an empty line behind it, openai for Python, fetch-event-source and httpx-sse read an event out
of what came before. For the same reason ``retry:`` stands only in a block that has data.
"""

from __future__ import annotations

from typing import Final

MIME_TYPE: Final = "text/event-stream"
KEEP_ALIVE: Final = b": keep-alive\n"
#: Sent before the agent does anything, so that the client has its headers.
OPENING: Final = b": connected\n"


def frame(
    data: bytes, *, event_id: str = "", event: str = "", retry_milliseconds: int | None = None
) -> bytes:
    """One event; ``data`` is one line, as JSON is. Empty fields are left out."""
    parts = []
    if retry_milliseconds is not None:
        parts.append(b"retry: %d\n" % retry_milliseconds)
    if event_id:
        parts.append(b"id: %s\n" % event_id.encode())
    if event:
        parts.append(b"event: %s\n" % event.encode())
    parts.append(b"data: %s\n\n" % data)
    return b"".join(parts)
