"""The sub-agents that a turn has at work."""

from __future__ import annotations

import threading
from typing import Final

from msgspec import Struct

from wsgi_app.errors import TurnError

#: How many sub-agents of a turn may be at work at once.
MAX_OPEN_CHILDREN: Final = 64


class OpenChildren(Struct, eq=False):
    """How many sub-agents a turn has; used by all that open them, ``_lock`` guards the counts."""

    _lock: threading.Lock
    _open: int = 0
    _made: int = 0

    def open(self) -> int:
        """Count one more, and give it a number; raises TurnError when there are too many."""
        with self._lock:
            if self._open >= MAX_OPEN_CHILDREN:
                raise TurnError(f"A turn has at most {MAX_OPEN_CHILDREN} sub-agents at once.")
            self._open += 1
            self._made += 1
            return self._made

    def close(self) -> None:
        """Count one less."""
        with self._lock:
            self._open -= 1
