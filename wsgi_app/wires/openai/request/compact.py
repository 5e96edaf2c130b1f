"""The body of ``POST /v1/responses/compact``, and the window that stands for a conversation."""

from __future__ import annotations

from typing import Any, Optional, Union

from msgspec import Struct

from wsgi_app.wires.openai.packed import pack
from wsgi_app.wires.openai.request.messages import Message


class CompactBody(Struct, kw_only=True):
    """What the host reads of it."""

    model: str
    input: Union[str, list[dict[str, Any]], None] = None
    previous_response_id: Optional[str] = None
    instructions: Optional[str] = None


def compaction_item(item_id: str, messages: list[Message]) -> dict[str, Any]:
    """The item that a client sends instead of the conversation; the host alone reads it."""
    return {"id": item_id, "type": "compaction", "encrypted_content": pack(messages)}
