"""The store of many workers."""

from wsgi_app.store.redis.store import RedisStore

__all__ = ["RedisStore"]
