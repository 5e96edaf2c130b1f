"""Descriptions of tools that are longer than providers take.

OpenAI's APIs refuse a longer one, and with it the request. What does not fit stands in the system
prompt, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wsgi_app.agents.tools import AnyTool

#: What providers of the chat-completions API accept (their reference, "tools").
MAX_DESCRIPTION_CHARS: Final = 1024
#: In the system prompt, of all tools; a description that goes beyond it ends there.
MAX_REST_CHARS: Final = 65_536
_GOES_ON: Final = " … (continued in the instructions)"
_KEPT_CHARS: Final = MAX_DESCRIPTION_CHARS - len(_GOES_ON)
_TITLE: Final = "The rest of some tools' descriptions:"


def short_description(tool: AnyTool) -> str:
    """A tool's description as a provider takes it."""
    text = tool.description
    if len(text) <= MAX_DESCRIPTION_CHARS:
        return text
    return text[:_KEPT_CHARS] + _GOES_ON


def instructions(system: str | None, tools: Sequence[AnyTool]) -> str | None:
    """The system prompt, with what the tools' descriptions lack."""
    rests = [
        f"{tool.name}: … {tool.description[_KEPT_CHARS:]}"
        for tool in tools
        if len(tool.description) > MAX_DESCRIPTION_CHARS
    ]
    if not rests:
        return system
    section = "\n\n".join([_TITLE, *rests])[:MAX_REST_CHARS]
    return f"{system}\n\n{section}" if system else section
