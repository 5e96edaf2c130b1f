"""Opaque texts in items: what the host has its client keep and send back."""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

from wsgi_app.events import encode_json

#: What begins a text of the host's own; all else is another provider's.
_OWN: Final = "agent-host."


def pack(messages: list[dict[str, Any]]) -> str:
    """Put messages into an opaque text, which its client keeps and sends back."""
    return _OWN + base64.urlsafe_b64encode(encode_json(messages)).decode()


def unpack(text: Any) -> list[dict[str, Any]]:
    """The messages of an opaque text; none of one that is another provider's, or broken."""
    if not isinstance(text, str) or not text.startswith(_OWN):
        return []
    try:
        packed = base64.b64decode(text[len(_OWN) :], b"-_", validate=True)
        return msgspec.json.decode(packed, type=list[dict[str, Any]])
    except (ValueError, RecursionError):
        return []
