"""The tools that a turn's agent has called, and that have no result yet."""

from __future__ import annotations

import threading

from msgspec import Struct

from wsgi_app.errors import TurnError
from wsgi_app.events import AnyEvent, Nested, Thinking, Token, ToolCall, ToolResult


class OpenCalls(Struct, eq=False):
    """Used by all that emit; ``_lock`` guards the calls."""

    _lock: threading.Lock
    #: By their ids.
    _running: dict[str, ToolCall]

    def says_nothing(self, event: AnyEvent) -> bool:
        """Whether an event is empty text, or repeats a call that already runs.

        Raises TurnError for another call of the same id: their results could not be told apart.
        """
        if isinstance(event, (Token, Thinking)):
            return not event.content
        if isinstance(event, Nested):
            return self.says_nothing(event.event)
        if not isinstance(event, (ToolCall, ToolResult)):
            return False
        with self._lock:
            running = self._running.pop(event.call_id, None)
            if isinstance(event, ToolCall):
                self._running[event.call_id] = running or event
        if running is None or not isinstance(event, ToolCall):
            return False
        if running != event:
            raise TurnError("The agent sent two calls at once with the same id.")
        return True
