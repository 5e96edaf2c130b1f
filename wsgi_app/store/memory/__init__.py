"""The store of one process."""

from wsgi_app.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
