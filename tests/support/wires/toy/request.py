"""What a client of the toy posts."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class ToyBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST /toy/<session_id>``."""

    say: str
    metadata: dict[str, Any] = {}
