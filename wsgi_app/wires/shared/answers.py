"""The answer to a question out of what a user wrote."""

from __future__ import annotations

from typing import Any

import msgspec

from wsgi_app.events import InputRequest


def answer_from_text(question: InputRequest, text: str) -> Any:
    """What the agent gets: the text, or the JSON that it is where the question wants that."""
    schema = question.schema if isinstance(question.schema, dict) else {}
    if schema.get("type", "string") in ("string", "boolean"):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
