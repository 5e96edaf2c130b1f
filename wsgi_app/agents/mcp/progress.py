"""What a server reports about a call that runs, as the turn's statuses."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from wsgi_app.engine import Turn
from wsgi_app.errors import TurnCancelled, TurnError
from wsgi_app.events import Status

#: Servers tell each per cent.
MIN_SECONDS_BETWEEN: Final = 0.5
MAX_STATUS_CHARS: Final = 300


class Progress:
    """Shows the progress of one call. Used on the ``agents`` loop alone."""

    def __init__(self, turn: Turn, tool: str) -> None:
        self._turn = turn
        self._tool = tool
        self._shown_at = -MIN_SECONDS_BETWEEN
        self._shown = ""

    async def take(self, progress: float, total: float | None, message: str | None) -> None:
        """Take a notice of the server's."""
        share = f"{progress:g}" if total is None else f"{progress:g} of {total:g}"
        self.show(f"{message} ({share})" if message else share)

    def show(self, text: str) -> None:
        """Show a text, unless one was shown a moment ago."""
        text = " ".join(f"{self._tool}: {text}".split())[:MAX_STATUS_CHARS]
        now = time.monotonic()
        if text != self._shown and now >= self._shown_at + MIN_SECONDS_BETWEEN:
            self._shown, self._shown_at = text, now
            emit_status(self._turn, text)


def emit_status(turn: Turn, text: str) -> None:
    """Send a status, unless the turn has ended."""
    with suppress(TurnCancelled, TurnError):  # it ends, which its own thread finds out
        turn.emit(Status(text))
