"""A response's document: what it repeats of its request, and what stands for all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsgi_app.events import Error, FileGiven, Usage
from wsgi_app.wires.openai.echo import DEFAULTS
from wsgi_app.wires.openai.encode.files import FileLink, link_to
from wsgi_app.wires.openai.encode.items import Item


class ResponseAbout:
    """What a response's documents have in common; read by one reader's thread."""

    def __init__(
        self,
        model: str,
        echo: Item | None = None,
        ended_at: Callable[[], int | None] | None = None,
        files_url: str = "files",
    ) -> None:
        """``echo``: see `echo_of`. ``ended_at``: when it was completed, once it is, if known.

        ``files_url``: where files are.
        """
        self._model = model
        self._echo = echo or {}
        self._ended_at = ended_at or (lambda: None)
        self._files_url = files_url

    def link_to(self, file: FileGiven) -> FileLink:
        """The link to a file that the agent gives."""
        return link_to(file, self._files_url)

    def document(self, *, status: str, usage: Usage | None, **fields: Any) -> Item:
        """The document of a response in this state; ``usage`` once it has ended."""
        completed_at = self._ended_at() if status == "completed" else None
        echoed = {**DEFAULTS, "metadata": {}, "tools": [], **self._echo}
        return {
            "object": "response",
            "status": status,
            "completed_at": completed_at,
            "model": self._model,
            **echoed,
            "text": {"format": {"type": "text"}, **echoed.get("text", {})},
            "reasoning": {"effort": None, "summary": None, **echoed.get("reasoning", {})},
            **fields,
            "usage": None if usage is None else usage_object(usage),
        }


def error_field(error: Error) -> Item:
    """What a turn failed with; clients repeat a response by its code (opencode, Codex)."""
    code = "server_error" if error.retryable else "invalid_prompt"
    return {"code": code, "message": error.message}


def usage_object(usage: Usage) -> Item:
    """Token counts."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }
