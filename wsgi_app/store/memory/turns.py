"""A turn's life in memory."""

from __future__ import annotations

from collections.abc import Sequence

from wsgi_app.errors import Fenced, RequestError
from wsgi_app.events import CancelReason, encode_json
from wsgi_app.store.base import (
    Appended,
    BeginTurn,
    Fence,
    Message,
    SessionKey,
    Signal,
    TurnBegun,
    TurnClaim,
)
from wsgi_app.store.base.turns import TurnOperations
from wsgi_app.store.memory.part import MemoryPart
from wsgi_app.store.memory.session import Push
from wsgi_app.store.memory.starts import MemoryStarts


class MemoryTurns(MemoryPart, TurnOperations):
    """See `TurnOperations`."""

    _starts: MemoryStarts

    def begin_turn(self, request: BeginTurn) -> TurnBegun:
        return self._starts.count(request, self._begin_turn)

    def _begin_turn(self, request: BeginTurn, refused: RequestError | None) -> TurnBegun:
        """Begin it, or with ``refused`` only attach to an earlier one."""
        key = request.key
        pushes: list[Push] = []
        with self._lock:
            session = self._sessions.get(key)
            if session is not None:
                earlier = session.find_earlier(request)
                if earlier is not None:
                    return earlier
            self._sessions.check_limits(request, session, refused)
            if session is None:
                session = self._sessions.create(key)
            elif request.if_busy == "interrupt":
                pushes = self._flag(session, key, None, "interrupted")
            owner = session.owner
            begun = session.begin(request, self._limits, self._clock())
            if owner not in ("", session.owner):
                pushes += session.moved(key, owner)
            self._sessions.written(key, session, request.run_id)
        if pushes:
            self._send(pushes)
        return begun

    def claim_turn(self, fence: Fence) -> TurnClaim:
        with self._lock:
            session, turn = self._sessions.find(fence)
            if turn.state == "ended":
                raise Fenced
            owner = session.owner
            claim = session.claim(turn)
            if claim.state == "started":
                self._sessions.written(fence.key, session)
            pushes = session.moved(fence.key, owner) if owner not in ("", session.owner) else []
        self._send(pushes)
        return claim

    def append(self, fence: Fence, first_seq: int, events: Sequence[bytes]) -> Appended:
        with self._lock:
            session, turn = self._sessions.find_running(fence)
            stored = len(turn.events)
            turn.append(first_seq, events)
            self._sessions.written(fence.key, session)
            followers = session.followers(self._clock())
            appended = Appended(len(turn.events), turn.cancel, bool(followers))
        if appended.last_seq > stored:
            self._send([(w, Signal("events", fence.key, fence.turn)) for w in followers])
        return appended

    def finish(
        self, fence: Fence, first_seq: int, events: Sequence[bytes], messages: Sequence[Message]
    ) -> int:
        encoded = [encode_json(message) for message in messages]
        with self._lock:
            session, turn = self._sessions.find_or_revive(fence)
            if turn.lost is not None:
                raise Fenced
            if turn.state == "ended":
                return len(turn.events)
            turn.append(first_seq, events)
            last_seq = len(turn.events)
            if last_seq < first_seq + len(events) - 1:
                return last_seq
            session.end(turn, encoded, self._limits)
            self._sessions.ended(fence.key, session)
            pushes = self._ended(fence.key, session, turn, is_lost=False)
        self._send(pushes)
        return last_seq

    def request_cancel(
        self, key: SessionKey, turn: int | None, reason: CancelReason, *, follower: str = ""
    ) -> list[int]:
        with self._lock:
            session = self._sessions.get(key)
            pushes = [] if session is None else self._flag(session, key, turn, reason)
            if session is not None and follower and {worker for worker, _ in pushes} - {follower}:
                session.follow(follower, self._clock() + self._limits.lease_seconds)
        self._send(pushes)
        return [signal.turn for _, signal in pushes]
