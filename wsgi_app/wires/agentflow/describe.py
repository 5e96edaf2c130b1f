"""The events that have other names here."""

from __future__ import annotations

from typing import Union

from wsgi_app.events import Token, ToolCall, ToolResult


class MessageChunk(Token, frozen=True, tag="message_chunk"):
    """A token, as `?wire=agentflow` names it."""


class ToolStart(ToolCall, frozen=True, tag="tool_start"):
    """A tool starts, as `?wire=agentflow` names it."""


class ToolEnd(ToolResult, frozen=True, tag="tool_end"):
    """A tool has ended, as `?wire=agentflow` names it."""


RenamedEvent = Union[MessageChunk, ToolStart, ToolEnd]
