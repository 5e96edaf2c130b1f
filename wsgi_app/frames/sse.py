"""Server-sent event frames (WHATWG HTML, section 9.2), in the one form that every client accepts.

Lines end in LF, an event is one ``data:`` line. A keep-alive is a comment line with one newline:
with an empty line behind it, openai for Python, fetch-event-source and httpx-sse read an event out
of what came before. For the same reason ``retry:`` stands only in a block that has data.

OpenAI's wires have neither ids nor ``retry:``, so that nothing comes of an empty line there. They
send it: gateways (Portkey) pass on blocks, and hold back a comment until one ends.
"""

from __future__ import annotations

from typing import Final

MIME_TYPE: Final = "text/event-stream"
KEEP_ALIVE: Final = b": keep-alive\n"
KEEP_ALIVE_BLOCK: Final = b": keep-alive\n\n"
#: Sent before the agent does anything, so that the client has its headers.
OPENING: Final = b": connected\n"


def numbered_frame(
    turn: int, seq: int, data: bytes, *, retry_milliseconds: int | None = None
) -> bytes:
    """An event under its id alone, as nearly all are, in a third of the time of `frame`."""
    if retry_milliseconds is not None:
        return b"retry: %d\nid: %d-%d\ndata: %s\n\n" % (retry_milliseconds, turn, seq, data)
    return b"id: %d-%d\ndata: %s\n\n" % (turn, seq, data)


def frame(
    data: bytes, *, event_id: str = "", event: str = "", retry_milliseconds: int | None = None
) -> bytes:
    """One event; ``data`` is one line, as JSON is. Empty fields are left out."""
    made = b"data: %s\n\n" % data
    if event:
        made = b"event: %s\n%s" % (event.encode(), made)
    if event_id:
        made = b"id: %s\n%s" % (event_id.encode(), made)
    if retry_milliseconds is not None:
        made = b"retry: %d\n%s" % (retry_milliseconds, made)
    return made
