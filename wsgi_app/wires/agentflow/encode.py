"""Events under the names that AgentFlow's front ends listen for, with the native wire's ids.

What those front ends do not know keeps its native name, which their listeners pass over. A
cancelled turn is an ``error`` to them: they would wait for its end for good otherwise.
"""

from __future__ import annotations

from typing import Final

from wsgi_app.events import Cancelled, Error, Nested, NumberedEvent, encode_event, type_of
from wsgi_app.frames.sse import frame

_NAMES: Final = {
    "token": "message_chunk",
    "tool_call": "tool_start",
    "tool_result": "tool_end",
}


def encode_frame(numbered: NumberedEvent, *, retry_milliseconds: int | None = None) -> bytes:
    """Make an event's SSE frame; its data has the fields of the native event.

    Empty for what sub-agents do, which these front ends would take for the answer.
    """
    event, json = numbered.event, numbered.json
    if isinstance(event, Nested):
        return b""
    if isinstance(event, Cancelled):
        event = Error("cancelled", "The turn was cancelled.", {"reason": event.reason})
        json = encode_event(event)
    native = type_of(event)
    name = _NAMES.get(native, native)
    if name != native:
        json = b'{"type":"%b"%b' % (name.encode(), json[len('{"type":""') + len(native) :])
    return frame(json, event_id=str(numbered.id), event=name, retry_milliseconds=retry_milliseconds)
