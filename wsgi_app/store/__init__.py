"""State that must outlive a worker, or that all workers must see."""

from wsgi_app.store.base import Store, StoreLimits
from wsgi_app.store.memory import MemoryStore

__all__ = ["MemoryStore", "Store", "StoreLimits"]
