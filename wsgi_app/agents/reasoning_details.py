"""Signed or encrypted reasoning beside a chat message, which its provider wants back with calls.

OpenRouter streams it as ``reasoning_details``, LiteLLM as ``thinking_blocks``: lists of objects, of
which those of text come in fragments. Nothing in them is looked at but what joins the fragments:
the same type and index as the one before.
"""

from __future__ import annotations

from typing import Any, Final

from wsgi_app.agents.upstream_errors import malformed_answer
from wsgi_app.compat.python import zip_strict

#: The names under which they come, and go back.
DETAIL_FIELDS: Final = ("reasoning_details", "thinking_blocks")
_MAX_CHARS: Final = 8_388_608
#: What each fragment counts for, besides its texts.
_PART_CHARS: Final = 64
_JOINED: Final[dict[Any, str]] = {
    "reasoning.text": "text",
    "reasoning.summary": "summary",
    "thinking": "thinking",
}


class ReasoningDetails:
    """The details of one answer under one name; used by its step alone."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = []
        self._texts: list[list[str]] = []
        self._chars = 0

    def add(self, parts: Any) -> None:
        """Take a chunk's fragments; raises UpstreamError when there are too many of them."""
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                self._add(part)

    def to_repeat(self) -> list[dict[str, Any]]:
        """All of them, whole, in their order."""
        return [
            {**part, _JOINED[part["type"]]: "".join(texts)} if texts else part
            for part, texts in zip_strict(self._parts, self._texts)
        ]

    def _add(self, part: dict[str, Any]) -> None:
        texts = [value for value in part.values() if isinstance(value, str)]
        self._chars += _PART_CHARS + sum(map(len, texts))
        if self._chars > _MAX_CHARS:
            raise malformed_answer()
        kind = part.get("type")
        name = _JOINED.get(kind) if isinstance(kind, str) else None
        text = part.get(name) if name else None
        last = self._parts[-1] if self._parts else {}
        if name and last.get("type") == kind and last.get("index") == part.get("index"):
            last.update({key: value for key, value in part.items() if value is not None})
        else:
            self._parts.append(dict(part))
            self._texts.append([])
        if isinstance(text, str):
            self._texts[-1].append(text)
