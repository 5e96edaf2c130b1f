"""Readers of this worker that wait for turns of other workers."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping

from wsgi_app.store.base import SessionKey, Store


class Following:
    """Wakes readers when the sessions that they follow have grown.

    Touched by readers' threads and by the store's signals; ``_lock`` guards the table, and is held
    neither over calls to the store nor while a reader is woken.
    """

    def __init__(self, store: Store, worker_id: str) -> None:
        self._store = store
        self._worker_id = worker_id
        self._lock = threading.Lock()
        self._wakers: defaultdict[SessionKey, list[Callable[[], None]]] = defaultdict(list)
        #: Sessions whose signals the store sends.
        self._signalled: set[SessionKey] = set()
        #: As the last heartbeat found the sessions.
        self._states: dict[SessionKey, str] = {}

    def join(self, key: SessionKey, wake: Callable[[], None]) -> None:
        """Have ``wake`` called when there may be more to read; raises StoreUnavailable.

        The first follower of a session informs its owner, which writes faster from then on.
        """
        self.await_signals(key, wake)
        if key in self._signalled:
            return
        try:
            self._store.follow(self._worker_id, key)
        except BaseException:
            self.leave(key, wake)
            raise
        with self._lock:
            if key in self._wakers:
                self._signalled.add(key)

    def await_signals(self, key: SessionKey, wake: Callable[[], None]) -> None:
        """Have ``wake`` called like `join`; the caller lets the store know, as its ``follower``.

        To be called first: what comes after the store's answer is signalled.
        """
        with self._lock:
            self._wakers[key].append(wake)

    def leave(self, key: SessionKey, wake: Callable[[], None]) -> None:
        """Undo `join`; the store forgets the interest by itself, within a lease."""
        with self._lock:
            self._wakers[key].remove(wake)
            if not self._wakers[key]:
                del self._wakers[key]
                self._signalled.discard(key)
                self._states.pop(key, None)

    def wake(self, key: SessionKey) -> None:
        """Wake the readers of a session."""
        with self._lock:
            wakers = list(self._wakers.get(key, ()))
        for wake in wakers:
            wake()

    def wake_all(self) -> None:
        """Wake every reader: signals may have been lost."""
        for key in self.keys():
            self.wake(key)

    def note(self, states: Mapping[SessionKey, str]) -> None:
        """Wake the readers of the sessions in which something has begun or ended unheard."""
        with self._lock:
            known = {key: state for key, state in states.items() if key in self._wakers}
            changed = [key for key, state in known.items() if self._states.get(key) != state]
            self._states.update(known)
        for key in changed:
            self.wake(key)

    def keys(self) -> list[SessionKey]:
        """The sessions that are followed now."""
        with self._lock:
            return list(self._wakers)
