"""What the agent of tests/support/said_agent.py has got, by its host's log."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tests.support.servers import Gunicorn

#: What it says where it fails.
CLOSED: Final = "The shop is closed."


class Turn(NamedTuple):
    """What a turn's agent got."""

    session_id: str
    messages: list[dict[str, Any]]


def turns(server: Gunicorn) -> list[Turn]:
    """All turns so far."""
    found = re.findall(r"^observed heard \S+ (\S+) (.*)$", server.log(), re.MULTILINE)
    return [Turn(session_id, json.loads(text)) for session_id, text in found]


def turns_of(turns: Sequence[Turn], message: str) -> list[Turn]:
    """Those that this message began."""
    return [turn for turn in turns if message in turn.messages[-1]["content"]]
