"""Turns' events that the OpenAI wires are shown by, and their golden transcripts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    EventId,
    FileGiven,
    InputRequest,
    NumberedEvent,
    Status,
    Thinking,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    encode_event,
)
from wsgi_app.wires.openai.encode.chat import CUT_OFF

GOLDEN: Final = Path(__file__).parent / "golden"
_SCHEMA: Final = {"type": "string", "enum": ["red", "blue"]}
_DONE: Final = Done("Hello", "s", "1", Usage(3, 2, 5))
_TOOL: Final = (
    Token("Let me look. "),
    ToolCall("add", "c1", {"a": 2, "b": 3}),
    ToolResult("add", "c1", {"sum": 5}),
    ToolCall("add", "c1", {}),
    ToolResult("add", "c1", "no numbers", "error"),
)

LOGS: Final[dict[str, tuple[AnyEvent, ...]]] = {
    "text": (Status("busy"), Thinking("Hm"), Thinking("m."), Token("Hel"), Token("lo"), _DONE),
    "tool": (*_TOOL, Token("It is 5."), _DONE),
    "error": (Token("Hel"), Error("turn_timeout", "The turn took too long.")),
    "cancel": (Token("Hel"), Cancelled("user")),
    "question": (*_TOOL[:1], InputRequest("q1", "Which colour?", _SCHEMA), Token("Blue."), _DONE),
    "file": (
        Token("Here it is:"),
        FileGiven("f1", "a [1].csv", "text/csv", 5),
        FileGiven("f2", "b.csv", "text/csv", 5),
        Token("All."),
        _DONE,
    ),
    "cut_off": (Token("Hel"), Status(CUT_OFF), _DONE),
    "filtered": (
        Token("Hel"),
        Error("upstream_error", "The answer was filtered.", {"finish_reason": "content_filter"}),
    ),
}


def numbered(events: tuple[AnyEvent, ...], first_seq: int = 1) -> list[NumberedEvent]:
    """The events of turn 1, as a reader gets them."""
    return [
        NumberedEvent(EventId(1, seq), event, encode_event(event))
        for seq, event in enumerate(events, first_seq)
    ]


def golden(wire: str, name: str) -> bytes:
    """The transcript that this turn must make, byte for byte."""
    return (GOLDEN / wire / f"{name}.txt").read_bytes()
