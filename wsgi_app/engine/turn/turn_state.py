"""Where a turn is in its life."""

from __future__ import annotations

import threading
import time
from typing import Final, Literal

from msgspec import Struct

#: ``waiting`` for its place in the session; ``running``; ``ended``, which readers do not know yet;
#: ``out``: they do; ``leaving``, while its events are stored, for another worker to continue;
#: ``elsewhere``: its end is another worker's, and in the store alone.
Stage = Literal["waiting", "running", "ended", "out", "leaving", "elsewhere"]
_BEFORE: Final[dict[Stage, tuple[Stage, ...]]] = {
    "waiting": (),
    "running": ("waiting",),
    "ended": ("waiting", "running"),
    "out": ("ended",),
    "leaving": ("waiting", "running"),
    "elsewhere": ("ended", "leaving"),
}


class TurnState(Struct, eq=False):
    """The stage of one turn, which only goes forward.

    Read by any thread; written by `move` alone, under ``_lock``, for one caller a stage.
    """

    _lock: threading.Lock
    _stage: Stage = "waiting"
    #: Whether it ever had its place.
    has_run: bool = False
    #: When it ended, on `time.monotonic`; 0 before.
    ended_at: float = 0.0

    def move(self, to: Stage) -> bool:
        """Go on to a stage; False, and nothing changes, if it was reached before or cannot be."""
        with self._lock:
            if self._stage not in _BEFORE[to]:
                return False
            if to in ("ended", "leaving"):
                self.ended_at = time.monotonic()
            self.has_run = self.has_run or to == "running"
            self._stage = to
            return True

    @property
    def is_leaving(self) -> bool:
        """Whether another worker is to continue it."""
        return self._stage == "leaving"

    @property
    def has_ended(self) -> bool:
        """Whether its end is decided."""
        return self._stage not in ("waiting", "running")
