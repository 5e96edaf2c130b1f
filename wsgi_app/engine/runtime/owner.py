"""Which turn's code is running: what threads and loops must know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Protocol


class CallOwner(Protocol):
    """A turn, as what runs its calls beside a loop sees it."""

    def start_thread(self, function: Callable[[], Any]) -> Any:
        """Call ``function`` in a thread that the turn knows."""

    def call(self, function: Callable[[], Any]) -> Any:
        """Call ``function`` in an app context of its own."""


#: Of the context that runs; None outside of turns.
current_owner: ContextVar[CallOwner | None] = ContextVar("wsgi_app_turn", default=None)


@contextmanager
def owned_by(owner: CallOwner) -> Iterator[None]:
    """Have the code of the block be that of another owner."""
    token = current_owner.set(owner)
    try:
        yield
    finally:
        with suppress(ValueError):  # a generator that is closed from elsewhere
            current_owner.reset(token)
