"""The cursor of a list of sessions: the position of the last one shown, in a form for URLs."""

from __future__ import annotations

import base64
import math


def encode_cursor(created_at: float, session_id: str) -> str:
    """Name the position behind this session."""
    return base64.urlsafe_b64encode(f"{created_at!r} {session_id}".encode()).decode()


def decode_cursor(cursor: str) -> tuple[float, str]:
    """Read back creation time and session id; raises ValueError for what was never encoded."""
    text = base64.urlsafe_b64decode(cursor.encode()).decode()
    created_text, _, session_id = text.partition(" ")
    created_at = float(created_text)
    # The decoders above let junk pass between and behind what they understand.
    if not math.isfinite(created_at) or encode_cursor(created_at, session_id) != cursor:
        raise ValueError("not a cursor of this list")
    return created_at, session_id
