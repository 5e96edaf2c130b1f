"""Sessions as a whole in memory."""

from __future__ import annotations

from collections.abc import Sequence

from wsgi_app.store.base import (
    Message,
    SessionKey,
    SessionPage,
    SessionState,
    SessionView,
    Signal,
)
from wsgi_app.store.base.sessions import SessionOperations
from wsgi_app.store.cursor import decode_cursor, encode_cursor
from wsgi_app.store.memory.part import MemoryPart
from wsgi_app.store.memory.turn_names import TurnNames


class MemorySessions(MemoryPart, SessionOperations):
    """See `SessionOperations`."""

    _names: TurnNames

    def state_of(self, key: SessionKey) -> SessionState | None:
        with self._lock:
            session = self._sessions.get(key)
            return None if session is None else session.state(key)

    def history(self, key: SessionKey) -> SessionView | None:
        with self._lock:
            session = self._sessions.get(key)
            return None if session is None else session.view(key)

    def turn_note(self, key: SessionKey, turn: int) -> bytes:
        with self._lock:
            return self._sessions.note(key, turn)

    def note_session(
        self,
        key: SessionKey,
        note: bytes,
        before: bytes | None,
        messages: Sequence[Message] = (),
    ) -> bool:
        with self._lock:
            session = self._sessions.get(key)
            if before is None and session is None:
                self._sessions.check_room(key.tenant, is_new=True)
                session = self._sessions.create(key)
                session.recall(messages)
                self._sessions.note_stored(key, session)
            elif session is None or session.note != before:
                return session is not None and session.note == note
            session.note = note
            self._sessions.written(key, session)
        return True

    def name_turn(self, key: SessionKey, turn: int, name: str) -> None:
        with self._lock:
            self._names.put(key, turn, name)

    def named_turn(self, tenant: str, name: str) -> tuple[SessionKey, int] | None:
        with self._lock:
            return self._names.find(tenant, name)

    def list_sessions(self, tenant: str, limit: int, cursor: str | None) -> SessionPage:
        before = None if cursor is None else decode_cursor(cursor)
        with self._lock:
            mine = [(key, one) for key, one in self._sessions.items() if key.tenant == tenant]
            by_start = {(one.created_at, key.session_id): (key, one) for key, one in mine}
            found = sorted((p for p in by_start if before is None or p < before), reverse=True)
            shown = [by_start[start] for start in found[:limit]]
            views = [session.state(key) for key, session in shown]
        return SessionPage(views, encode_cursor(*found[limit - 1]) if len(found) > limit else None)

    def recent_sessions(self, tenants: Sequence[str], seconds: float) -> list[SessionKey]:
        with self._lock:
            return self._sessions.recent(tenants, seconds)

    def delete_session(self, key: SessionKey, newest_turn: int | None = None) -> bool:
        with self._lock:
            session = self._sessions.get(key)
            if session is None or newest_turn not in (None, session.newest_turn):
                return False
            pushes = self._flag(session, key, None, "deleted")
            pushes.append((session.owner, Signal("moved", key, session.newest_turn)))
            ended = Signal("ended", key, session.newest_turn)
            pushes += [(worker, ended) for worker in session.followers(self._clock())]
            self._sessions.delete(key, session)
        self._send(pushes)
        return True
