"""Tickets: what a browser's EventSource or WebSocket shows instead of a header."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from wsgi_app.errors import RequestError
from wsgi_app.store.base import SessionKey
from wsgi_app.tokens import SCOPES, Principal

#: How long a ticket opens a stream.
TICKET_SECONDS: Final = 60
#: What one is good for after that, for a reader who comes back.
LATE_SCOPES: Final = frozenset({"read"})
#: Forged tickets make the store answer no more often than this.
FETCH_SECONDS: Final = 1.0
SALT: Final = "wsgi_app ticket with scopes"


class Tickets:
    """Signs and reads tickets, each good for one session.

    Used by any thread; the secret's two fields are single assignments, and a thread that misses
    one fetches the same secret again.
    """

    def __init__(self, fetch_secret: Callable[[], bytes]) -> None:
        self._fetch_secret = fetch_secret
        self._serializer: URLSafeTimedSerializer | None = None
        self._fetched_at = 0.0

    def issue(self, key: SessionKey, scopes: Collection[str]) -> str:
        """A ticket for this session with these scopes; raises StoreUnavailable."""
        return str(self._current().dumps([key.tenant, key.session_id, sorted(scopes)]))

    def read(self, ticket: str, session_id: str, longer_seconds: float = 0.0) -> Principal:
        """Whom a ticket for this session speaks for.

        ``longer_seconds``: how much longer it is good for a reader who comes back, and who may
        only read then. Raises RequestError ``unauthorized``, and StoreUnavailable.
        """
        max_age = int(TICKET_SECONDS + longer_seconds)
        try:
            (tenant, named, scopes), issued_at = self._loads(ticket, max_age)
        except SignatureExpired:
            raise _refused("The ticket has expired; get another one.") from None
        except BadSignature:
            raise _refused("The ticket is not valid.") from None
        if named != session_id:
            raise _refused("The ticket is for another session.")
        is_late = time.time() - issued_at.timestamp() > TICKET_SECONDS
        return Principal(tenant, frozenset(scopes) & (LATE_SCOPES if is_late else SCOPES))

    def _loads(self, ticket: str, max_age: int) -> tuple[tuple[str, str, list[str]], datetime]:
        try:
            return _load(self._current(), ticket, max_age)
        except SignatureExpired:
            raise
        except BadSignature:
            if time.monotonic() - self._fetched_at < FETCH_SECONDS:
                raise
            # The store may have been emptied, and the workers have a new secret.
            return _load(self._fetch(), ticket, max_age)

    def _current(self) -> URLSafeTimedSerializer:
        known = self._serializer
        return self._fetch() if known is None else known

    def _fetch(self) -> URLSafeTimedSerializer:
        serializer = URLSafeTimedSerializer(self._fetch_secret(), salt=SALT)
        self._serializer, self._fetched_at = serializer, time.monotonic()
        return serializer


def _load(
    serializer: URLSafeTimedSerializer, ticket: str, max_age: int
) -> tuple[tuple[str, str, list[str]], datetime]:
    found, issued_at = serializer.loads(ticket, max_age=max_age, return_timestamp=True)
    return (found[0], found[1], found[2]), issued_at


def _refused(message: str) -> RequestError:
    return RequestError("unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
