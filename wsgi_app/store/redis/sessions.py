"""Sessions as a whole in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wsgi_app.compat.python import zip_strict
from wsgi_app.store.base import (
    MAX_READ_BYTES,
    Message,
    SessionKey,
    SessionPage,
    SessionState,
    SessionView,
)
from wsgi_app.store.base.sessions import SessionOperations
from wsgi_app.store.cursor import decode_cursor, encode_cursor
from wsgi_app.store.redis.calls import pairs
from wsgi_app.store.redis.keys import encode_message
from wsgi_app.store.redis.large import LargeReads
from wsgi_app.store.redis.part import RedisPart
from wsgi_app.store.redis.replies import session_state, session_view
from wsgi_app.store.refusals import refusal

_ANY_SIZE: Final = 2**53


class RedisSessions(RedisPart, SessionOperations):
    """See `SessionOperations`."""

    _large_reads: LargeReads

    def state_of(self, key: SessionKey) -> SessionState | None:
        return session_state(key, self._run("state_of", key))

    def history(self, key: SessionKey) -> SessionView | None:
        reply = self._run("history", key, MAX_READ_BYTES)
        if reply is not None and reply[-1] == b"large":
            with self._large_reads.one():
                reply = self._run("history", key, _ANY_SIZE)
        return session_view(key, reply)

    def turn_note(self, key: SessionKey, turn: int) -> bytes:
        note: bytes = self._run("turn_note", key, turn) or b""
        return note

    def note_session(
        self,
        key: SessionKey,
        note: bytes,
        before: bytes | None,
        messages: Sequence[Message] = (),
    ) -> bool:
        created, known = b"", False
        if before is None:
            code, created, known = self._edge.run(self._calls.admit_session(key))
            if code:
                raise refusal(code.decode())
        encoded = map(encode_message, messages)
        kept = self._run("note_session", key, note, created, before or b"", *encoded)
        if kept is None:
            return False
        made, size = kept
        if before is not None or messages or known:
            # It lives on from now, in the tenant's list too, from which a delete may have taken
            # the one before it.
            stored = size if before is None else None
            self._edge.run_many(
                self._calls.release_turns(key, [], made.decode(), stored_bytes=stored)
            )
        return True

    def name_turn(self, key: SessionKey, turn: int, name: str) -> None:
        self._edge.run(self._calls.name_turn(key, turn, name))

    def named_turn(self, tenant: str, name: str) -> tuple[SessionKey, int] | None:
        reply = self._edge.run(self._calls.named_turn(tenant, name))
        if reply is None:
            return None
        turn, _, session_id = reply.decode().partition(" ")
        return SessionKey(tenant, session_id), int(turn)

    def list_sessions(self, tenant: str, limit: int, cursor: str | None) -> SessionPage:
        before = ("", "")
        if cursor is not None:
            created_at, session_id = decode_cursor(cursor)
            before = (f"{created_at * 1e6:.0f}", session_id)
        views: list[SessionState] = []
        while len(views) <= limit:
            rows = pairs(self._edge.run(self._calls.list_sessions(tenant, limit + 1, before)))
            keys = [SessionKey(tenant, session_id) for session_id, _ in rows]
            calls = [self._calls.session("state_of", key) for key in keys]
            replies = zip_strict(keys, self._edge.run_all(calls))
            # A session may have gone since it was listed.
            found = [session_state(key, reply) for key, reply in replies]
            views += [view for view in found if view is not None]
            if len(rows) <= limit:
                break
            before = (rows[-1][1], rows[-1][0])
        if len(views) <= limit:
            return SessionPage(views, None)
        last = views[limit - 1]
        return SessionPage(views[:limit], encode_cursor(last.created_at, last.session_id))

    def recent_sessions(self, tenants: Sequence[str], seconds: float) -> list[SessionKey]:
        calls = [self._calls.recent_sessions(tenant, seconds) for tenant in tenants]
        replies = zip_strict(tenants, self._edge.run_all(calls))
        return [SessionKey(tenant, name.decode()) for tenant, names in replies for name in names]

    def delete_session(self, key: SessionKey, newest_turn: int | None = None) -> bool:
        reply = self._run("delete_session", key, "" if newest_turn is None else newest_turn)
        if reply is None:
            return False
        created, *runs = reply
        self._edge.run_many(
            self._calls.release_turns(key, pairs(runs), created.decode(), deleted=True)
        )
        return True
