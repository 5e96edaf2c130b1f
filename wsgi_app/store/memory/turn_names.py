"""The memory store's names of turns; its lock is the store's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from wsgi_app.store.base import SessionKey
from wsgi_app.store.base.sessions import NAME_SECONDS

#: The oldest of more leave: their turns have ended long before.
MAX_NAMES: Final = 10_000


class TurnNames:
    """Turns by their names, until they expire."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # In the order of their expiry.
        self._turns: OrderedDict[tuple[str, str], tuple[SessionKey, int, float]] = OrderedDict()

    def put(self, key: SessionKey, turn: int, name: str) -> None:
        """See `SessionOperations.name_turn`."""
        name_key = (key.tenant, name)
        self._turns[name_key] = (key, turn, self._clock() + NAME_SECONDS)
        self._turns.move_to_end(name_key)
        while len(self._turns) > MAX_NAMES:
            self._turns.popitem(last=False)

    def find(self, tenant: str, name: str) -> tuple[SessionKey, int] | None:
        """See `SessionOperations.named_turn`."""
        found = self._turns.get((tenant, name))
        return None if found is None or found[2] <= self._clock() else found[:2]
