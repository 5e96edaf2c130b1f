"""What is in LangChain's messages: text and reasoning, and what a tool gave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.events import Thinking


def pieces_of(message: BaseMessage) -> list[str | Thinking]:
    """A message's text and reasoning."""
    if isinstance(message.content, str):
        reasoning = message.additional_kwargs.get("reasoning_content")
        blocks: Sequence[Any] = [
            {"type": "reasoning", "reasoning": reasoning},
            {"type": "text", "text": message.content},
        ]
    else:
        blocks = message.content_blocks
    pieces: list[str | Thinking] = []
    for block in blocks:
        if block["type"] == "reasoning" and block.get("reasoning"):
            pieces.append(Thinking(block["reasoning"]))
        elif block["type"] == "text" and block["text"]:
            pieces.append(block["text"])
    return pieces


def output_of(message: ToolMessage) -> Any:
    """A tool's output as it was, where its text shows that it was an object or a list."""
    content = message.content
    if isinstance(content, str) and content[:1] in ("{", "["):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            content = str(message.text)
    return bounded_json(content)
