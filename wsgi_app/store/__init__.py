"""What must survive a worker, or be seen by all of them."""

from wsgi_app.store.base import Store, StoreLimits
from wsgi_app.store.memory import MemoryStore

__all__ = ["MemoryStore", "Store", "StoreLimits"]
