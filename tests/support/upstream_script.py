"""What the model provider under the tests' control answers: the steps of a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Optional, Union

import msgspec
from msgspec import Struct


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
    retry_after_seconds: Optional[float] = None
    secret: str = "upstream-secret-text"
    #: The error object's code and type.
    code: str = "refused"
    type: str = "test"


class Body(Step, frozen=True, tag="body"):
    """A whole answer that is no stream: any text, of status 200; ends the script."""

    text: str
    content_type: str = "application/json"


class Cut(Step, frozen=True, tag="cut"):
    """The connection closes without the HTTP answer's end; ends the script."""

    reset: bool = False


class EndOfFile(Step, frozen=True, tag="end_of_file"):
    """A proper end of the HTTP answer without the end of the stream in it; ends the script."""


AnyStep = Union[
    Text, Reasoning, ToolCalls, Usage, Finish, Data, Raw, Stall, Refuse, Body, Cut, EndOfFile
]
Script = tuple[AnyStep, ...]

DEFAULT_SCRIPT: Final[Script] = (Text(("Hello", " from", " upstream")), Usage(7, 3))


class ScriptedMessage(Struct, frozen=True):
    """What a scripted user's message holds."""

    scripts: tuple[Script, ...]
    tag: str = ""


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """What a provider sends for ``delta``."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}


def scripted_message(*scripts: Sequence[AnyStep], tag: str = "") -> str:
    """A user's message that scripts its turn's requests, the last for all that follow.

    ``tag`` makes the message unique, where several turns send the same.
    """
    scripted = ScriptedMessage(tuple(tuple(script) for script in scripts), tag)
    return msgspec.json.encode(scripted).decode()


def read_scripts(message: str) -> tuple[Script, ...] | None:
    """The scripts in a user's message; None if it is an ordinary one."""
    try:
        return msgspec.json.decode(message, type=ScriptedMessage).scripts
    except msgspec.DecodeError:
        return None
