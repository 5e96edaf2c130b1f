"""What all parts of the Redis store run their scripts with."""

from __future__ import annotations

from typing import Any

from wsgi_app.errors import Fenced
from wsgi_app.store.base import Fence, SessionKey
from wsgi_app.store.redis.calls import Calls, Kept
from wsgi_app.store.redis.edge import Edge
from wsgi_app.store.redis.scripts import Argument, Call


class RedisPart:
    """The way to the server; `RedisStore` makes both parts of it."""

    _edge: Edge
    _calls: Calls
    #: The one that listens; '' until then.
    _worker_id: str

    def _run(self, verb: str, key: SessionKey, *arguments: Argument) -> Any:
        return self._edge.run(self._calls.session(verb, key, *arguments))

    def _run_fenced(self, verb: str, fence: Fence, *arguments: Argument) -> Any:
        reply = self._edge.run(self._calls.fenced(verb, fence, *arguments))
        if reply == b"fenced":
            raise Fenced
        return reply

    def _enrol(self, fence: Fence, created: bytes) -> list[Call]:
        """Count a turn that was made again, in a session that was created then ('' if not)."""
        return self._calls.renew_turns([Kept(fence, created.decode())] if created else [])
