"""A question in a wire whose client answers with a request: what shows that somebody has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    InputRequest,
    Thinking,
    Token,
    ToolCall,
    ToolResult,
)

#: The tool that a front end renders for what the agent asks by itself.
ASK_TOOL: Final = "ask_user"
#: In place of a result that never came: a call without one is the page's to run.
NO_RESULT: Final = "(The result of this call is unknown.)"
_GOES_ON: Final = (Token, Thinking, InputRequest, Done, Error, Cancelled)


class AskedQuestion:
    """A question that was asked, until an event shows that it is closed; used by one thread.

    The log does not tell when an answer comes. Results of calls that ran beside the one that asks
    tell nothing: only what a waiting agent cannot send does.
    """

    def __init__(self, request_id: str, open_calls: Iterable[str]) -> None:
        self.request_id = request_id
        self._open_calls = set(open_calls)
        self._within_call = bool(self._open_calls)

    def closed_by(self, event: AnyEvent) -> bool:
        """Take the next event; whether it shows that the question waits no longer."""
        if isinstance(event, ToolResult) and event.call_id in self._open_calls:
            self._open_calls.discard(event.call_id)
            return not self._open_calls
        if isinstance(event, ToolCall):
            return not self._within_call
        return isinstance(event, _GOES_ON)

    def copy(self) -> AskedQuestion:
        """The same question, to look ahead with."""
        copied = AskedQuestion(self.request_id, self._open_calls)
        copied._within_call = self._within_call
        return copied


def asks_for_approval(question: InputRequest) -> bool:
    """Whether yes and no are its answers."""
    return isinstance(question.schema, dict) and question.schema.get("type") == "boolean"


def asking_call(question: InputRequest) -> str | None:
    """The id of the tool call that waits for this answer, if it is a call's approval."""
    if not isinstance(question.schema, dict) or not asks_for_approval(question):
        return None
    call_id = question.schema.get("x-call-id")
    return call_id if isinstance(call_id, str) else None
