"""A model provider under the tests' control: chat completions over a real socket.

A test scripts each request with a list of steps, in order::

    with Upstream() as upstream:
        upstream.script(Refuse(429, retry_after_seconds=0.1))
        upstream.script(Text(["Hel", "lo"]), Usage(3, 2))

or writes the scripts into the user's message (`scripted_message`), which reaches the server through
any process in between. A request without a script gets `DEFAULT_SCRIPT`. After a script's last step
the answer is ended properly, unless the step was one that breaks it.

``python -m tests.support.upstream PORT`` serves until interrupted.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
START_SECONDS: Final = 10.0


class Step(Struct, frozen=True, tag_field="step"):
    """A part of an answer."""


class Text(Step, frozen=True, tag="text"):
    """Content chunks, ``pace_seconds`` apart."""

    tokens: tuple[str, ...]
    pace_seconds: float = 0.0


class Reasoning(Step, frozen=True, tag="reasoning"):
    """Reasoning chunks; ``field`` is the name that a server gives them."""

    tokens: tuple[str, ...]
    field: str = "reasoning_content"


class Call(Struct, frozen=True):
    """A tool call; ``arguments`` is the text as the model writes it."""

    id: str
    name: str
    arguments: str


class ToolCalls(Step, frozen=True, tag="tool_calls"):
    """Tool calls whose arguments come in fragments, taking turns between the calls."""

    calls: tuple[Call, ...]
    fragment_chars: int = 4
    pace_seconds: float = 0.0


class Usage(Step, frozen=True, tag="usage"):
    """The token counts that the last chunk tells if the request asks for them."""

    input_tokens: int
    output_tokens: int


class Finish(Step, frozen=True, tag="finish"):
    """The reason of the end, where it is not what the steps before suggest."""

    reason: str


class Data(Step, frozen=True, tag="data"):
    """One event with any JSON in it."""

    value: Any


class Raw(Step, frozen=True, tag="raw"):
    """Any text as it is, in pieces of ``piece_bytes``, 0 for one piece."""

    text: str
    piece_bytes: int = 0


class Stall(Step, frozen=True, tag="stall"):
    """Silence, until the client closes or the time is over; as the first step: without headers."""

    seconds: float = 3600.0


class Refuse(Step, frozen=True, tag="refuse"):
    """An answer of another status, with JSON that holds ``secret``; ends the script."""

    status: int
    retry_after_seconds: float | None = None
    secret: str = "upstream-secret-text"  # noqa: S105 - looked for where it must not appear


class Cut(Step, frozen=True, tag="cut"):
    """A connection reset; ends the script."""


class EndOfFile(Step, frozen=True, tag="end_of_file"):
    """A proper end of the HTTP answer without the end of the stream in it; ends the script."""


AnyStep = (
    Text
    | Reasoning
    | ToolCalls
    | Usage
    | Finish
    | Data
    | Raw
    | Stall
    | Refuse
    | Cut
    | EndOfFile
)
Script = tuple[AnyStep, ...]

DEFAULT_SCRIPT: Final[Script] = (Text(("Hello", " from", " upstream")), Usage(7, 3))


def scripted_message(*scripts: Sequence[AnyStep], tag: str = "") -> str:
    """A user's message that scripts the requests of its turn; ``tag`` makes it unique."""
    return msgspec.json.encode(_Scripts(scripts=tuple(map(tuple, scripts)), tag=tag)).decode()


class _Scripts(Struct, frozen=True):
    scripts: tuple[Script, ...]
    tag: str = ""
