"""What a worker reports about itself to the others."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Optional

from wsgi_app.store.base import WorkerInfo

#: How many stream slots of the process are taken, and of how many; None is no bound.
CountSlots = Callable[[], tuple[int, Optional[int]]]


class AboutWorker:
    """A worker's name, made in its own process; used by any thread, changes nothing."""

    def __init__(self, count_slots: CountSlots | None = None) -> None:
        self.pid = os.getpid()
        self._hostname = socket.gethostname()
        self.worker_id = f"{self._hostname}:{self.pid}:{secrets.token_hex(4)}"
        self._started_at = time.time()
        self._count_slots = count_slots or (lambda: (0, None))

    def describe(self, turns: int, *, draining: bool) -> WorkerInfo:
        """Its state now."""
        slots_used, slots = self._count_slots()
        return WorkerInfo(
            hostname=self._hostname,
            pid=self.pid,
            started_at=self._started_at,
            sent_at=time.time(),
            turns=turns,
            slots_used=slots_used,
            slots=slots,
            draining=draining,
        )
