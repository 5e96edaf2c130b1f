"""Turns that one worker begins and another is to run: an optional part of a store.

A store that workers share has it as `Store.offers`. Both operations are atomic against all others,
raise `Fenced` for a turn that has ended, and StoreUnavailable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from wsgi_app.store.values import Fence, Message


class Taken(NamedTuple):
    """What was offered, and what the turn starts with; None while it is queued."""

    request: bytes
    history: list[Message] | None


class Offers(ABC):
    """What is offered can be taken once, by the first to ask."""

    @abstractmethod
    def offer(self, fence: Fence, worker_id: str, request: bytes) -> None:
        """Keep what the turn's run is made from, and send ``worker_id`` the signal ``offer``."""

    @abstractmethod
    def take(self, fence: Fence, worker_id: str, *, offered: bool) -> Taken | None:
        """Make the turn this worker's, and return it; None if another worker was faster.

        ``offered``: whether it was begun in this worker's name. The worker that began it may take
        it back even if its offer was lost; then the returned request means nothing.
        """
