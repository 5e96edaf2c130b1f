"""From events to the toy's frames: the text alone."""

from __future__ import annotations

from wsgi_app.events import NumberedEvent, Token, encode_json
from wsgi_app.frames.sse import frame


def encode_toy(numbered: NumberedEvent) -> bytes:
    """Make a token's frame; other events have none."""
    event = numbered.event
    return frame(encode_json({"said": event.content})) if isinstance(event, Token) else b""
