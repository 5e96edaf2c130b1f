"""An agent for tests of the chat page, hosted by ``AGENT_FACTORY``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsgi_app import Status, Thinking, ToolCall, ToolResult, Turn, TurnError


def echo(turn: Turn) -> Iterator[Any]:
    """Say the message in every place that an agent can fill.

    Its tool runs until its question is answered. A message that begins with ``fail`` is the text
    of an error instead.
    """
    text = turn.message
    if text.startswith("fail"):
        raise TurnError(text)
    yield Status(text)
    yield Thinking(text)
    yield ToolCall(text, "call-1", {"input": text})
    answer = turn.ask(text)
    yield ToolResult(text, "call-1", {"answer": answer})
    yield f"{text}, and you said {answer}"
