"""Sessions that were made for one turn alone, and are forgotten soon after it."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.base import Fence, Store

#: How long a client may come back for the answer of such a session.
KEEP_SECONDS: Final = 60.0
#: What is beyond lives on until the store's own time limit.
MAX_WAITING: Final = 100_000


class EphemeralSessions:
    """What this worker has to forget, oldest first.

    `add` is called by the thread that publishes a turn's end, `sweep` by the heartbeat's thread; a
    deque's ends may be used from several threads.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[tuple[float, Fence]] = deque(maxlen=MAX_WAITING)

    def add(self, fence: Fence) -> None:
        """The turn has ended: forget its session in a while, unless it has a newer turn then."""
        self._waiting.append((time.monotonic() + KEEP_SECONDS, fence))

    def sweep(self) -> None:
        """Forget what is due."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            due = self._waiting.popleft()
            try:
                self._store.delete_session(due[1].key, due[1].turn)
            except StoreUnavailable:
                self._waiting.appendleft(due)
                return
