"""Asking again with a shorter history, when a conversation does not fit into the model."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from wsgi_app.agents.upstream_errors import ContextFullError
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.history import without_oldest
from wsgi_app.events import Status

log = logging.getLogger("wsgi_app")

SHORTENED: Final = "The conversation is too long for the model: its older part is left out."


def note_shortening() -> None:
    """Tell the site's log what happens with each further turn, and how to spare it."""
    log.warning(
        "a conversation is too long for the model: it is asked again with the newer half of it; "
        "a lower AGENT_MAX_HISTORY_BYTES spares the request"
    )


async def answer_in_context(turn: Turn, answer: Callable[[], Awaitable[object]]) -> None:
    """Have a turn answered, again with half of its history as long as that is too much.

    For agents that read ``turn.history`` once. Raises ContextFullError when the user has seen
    something of the answer, or nothing is left to leave out.
    """
    while True:
        try:
            await answer()
        except ContextFullError:
            shorter = None if turn.has_output else without_oldest(turn.history)
            if shorter is None:
                raise
            turn.history = shorter
            note_shortening()
            turn.emit(Status(SHORTENED))
        else:
            return
