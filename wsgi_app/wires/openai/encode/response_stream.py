"""The frames of a response's stream."""

from __future__ import annotations

from typing import Final

from wsgi_app.events import NumberedEvent
from wsgi_app.frames.sse import frame
from wsgi_app.wires.openai.encode.items import StreamEvent
from wsgi_app.wires.openai.encode.responses import ResponseBuilder

#: What a stream ends with, by Open Responses.
DONE: Final = frame(b"[DONE]")


class ResponseEncoder:
    """Makes the frames of one stream, those after a sequence number; used by its thread alone."""

    def __init__(self, builder: ResponseBuilder, after: int = -1) -> None:
        self._builder = builder
        self._after = after

    @property
    def ended(self) -> bool:
        """Whether the stream is complete."""
        return self._builder.ended

    def opening(self) -> bytes:
        """What stands before all else; called once, and first."""
        return self._frames(self._builder.opening())

    def __call__(self, numbered: NumberedEvent) -> bytes:
        """Make an event's frames."""
        had_ended = self.ended
        made = self._frames(self._builder.take(numbered))
        return made + DONE if self.ended and not had_ended else made

    def _frames(self, events: list[StreamEvent]) -> bytes:
        return b"".join(event.frame() for event in events if event.number > self._after)
