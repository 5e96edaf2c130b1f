"""The one place that starts threads."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread, so that code which never returns cannot hold up the process's exit."""
    thread = threading.Thread(target=target, name=f"wsgi_app-{name}", daemon=True)
    thread.start()
    return thread


def start_last_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that the process waits for at its exit; it must then end."""
    thread = threading.Thread(target=target, name=f"wsgi_app-{name}", daemon=False)
    thread.start()
    return thread


class LibraryThread(threading.Thread):
    """A daemon thread for a library that makes its threads from a class it is given."""

    def __init__(self, target: Callable[[], None]) -> None:
        super().__init__(target=target, name="wsgi_app-library", daemon=True)
