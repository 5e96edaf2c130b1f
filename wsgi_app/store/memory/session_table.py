"""The memory store's sessions: found, made, forgotten and counted; its lock is the store's."""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence

from wsgi_app.errors import Fenced, RequestError
from wsgi_app.store.base import BeginTurn, Fence, SessionKey, StoreLimits
from wsgi_app.store.memory.session import Session
from wsgi_app.store.memory.turn import Turn
from wsgi_app.store.refusals import refusal

#: A deleted session's run that still runs tries to write within seconds, not after so many more.
MAX_BANS = 10_000


class SessionTable:
    """Sessions by their keys, until they expire."""

    def __init__(self, limits: StoreLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        # In the order of their renewal, so that expired ones are found at the front.
        self._sessions: OrderedDict[SessionKey, Session] = OrderedDict()
        # When the ban of a run that was deleted with its session ends.
        self._deleted_runs: OrderedDict[tuple[SessionKey, str], float] = OrderedDict()
        self._counts: Counter[str] = Counter()
        # What sessions held when a turn of each last ended, and their sums per tenant.
        self._stored: dict[SessionKey, int] = {}
        self._stored_by_tenant: Counter[str] = Counter()
        # Those in which a turn runs or waits, per tenant.
        self._busy: defaultdict[str, dict[SessionKey, Session]] = defaultdict(dict)
        # Before this nothing expires.
        self._expires_from = 0.0
        self._last_created_at = 0.0

    # -- finding

    def get(self, key: SessionKey) -> Session | None:
        """Find a session that has not expired."""
        if self._clock() >= self._expires_from:
            self._drop_expired()
        return self._sessions.get(key)

    def note(self, key: SessionKey, turn: int) -> bytes:
        """What was kept with a turn, or with the session as turn 0."""
        session = self.get(key)
        if session is not None and turn == 0:
            return session.note
        found = None if session is None else session.turns.get(turn)
        return b"" if found is None else found.note

    def items(self) -> Iterator[tuple[SessionKey, Session]]:
        """All sessions that have not expired."""
        self._drop_expired()
        return iter(self._sessions.items())

    def recent(self, tenants: Sequence[str], seconds: float) -> list[SessionKey]:
        """Those of these tenants that were created within so long."""
        since = self._clock() - seconds
        found = self.items()
        return [key for key, one in found if key.tenant in tenants and one.created_at >= since]

    def follow(self, worker_id: str, keys: Sequence[SessionKey]) -> dict[SessionKey, str]:
        """Let a worker follow sessions for a lease; see ``followed`` of `Heartbeat`."""
        until = self._clock() + self._limits.lease_seconds
        states = dict.fromkeys(keys, "")
        for key in keys:
            session = self.get(key)
            if session is not None:
                session.follow(worker_id, until)
                states[key] = f"{session.created_at} {session.newest_turn}"
        return states

    def find(self, fence: Fence) -> tuple[Session, Turn]:
        """Find a turn; raises Fenced."""
        session = self.get(fence.key)
        if session is None:
            raise Fenced
        return session, session.find(fence)

    def find_or_revive(self, fence: Fence) -> tuple[Session, Turn]:
        """Find a turn, or make it again if it was lost; raises Fenced."""
        session = self.get(fence.key)
        if (fence.key, fence.run_id) in self._deleted_runs:
            raise Fenced
        if session is None:
            session = self.create(fence.key)
        if session.newest_turn < fence.turn and not session.active:
            session.revive(fence)
            self.written(fence.key, session, fence.run_id)
        return session, session.find(fence)

    def find_running(self, fence: Fence) -> tuple[Session, Turn]:
        """Find a turn that runs, or make it again if it was lost; raises Fenced."""
        session, turn = self.find_or_revive(fence)
        if turn.state != "running":
            raise Fenced
        return session, turn

    def is_foreign(self, fence: Fence) -> bool:
        """Whether a turn cannot be made again, being ended, deleted or another run's."""
        session = self._sessions.get(fence.key)
        if (fence.key, fence.run_id) in self._deleted_runs:
            return True
        return session is not None and session.newest_turn >= fence.turn

    # -- making and forgetting

    def create(self, key: SessionKey) -> Session:
        """Make a session, which lives from its first write on."""
        # Strictly growing, so that a list by creation has one order.
        self._last_created_at = max(self._clock(), self._last_created_at + 1e-6)
        now = self._last_created_at
        session = self._sessions[key] = Session(now, now, now)
        self._counts[key.tenant] += 1
        return session

    def written(self, key: SessionKey, session: Session, begun: str = "") -> None:
        """Note a write, which renews the session; ``begun``: the run that begins with it."""
        if begun:
            self._deleted_runs.pop((key, begun), None)  # it may be one that was banned
            self._busy[key.tenant][key] = session
        now = self._clock()
        session.updated_at = max(now, session.updated_at)
        session.expires_at = now + self._limits.session_ttl_seconds
        self._sessions.move_to_end(key)

    def ended(self, key: SessionKey, session: Session) -> None:
        """Note a turn's end, which is a write."""
        if not session.active:
            self._drop_busy(key)
        self.note_stored(key, session)
        self.written(key, session)

    def note_stored(self, key: SessionKey, session: Session) -> None:
        """Note what the session holds now."""
        self._note_stored(key, session.stored_bytes())

    def _note_stored(self, key: SessionKey, size: int) -> None:
        self._stored_by_tenant[key.tenant] += size - self._stored.pop(key, 0)
        if size:
            self._stored[key] = size
        if not self._stored_by_tenant[key.tenant]:
            del self._stored_by_tenant[key.tenant]

    def renew(self, key: SessionKey, session: Session) -> None:
        """Let the session's lifetime begin now."""
        session.expires_at = self._clock() + self._limits.session_ttl_seconds
        self._sessions.move_to_end(key)

    def delete(self, key: SessionKey, session: Session) -> None:
        """Forget a session, and ban its runs."""
        banned_until = self._clock() + self._limits.session_ttl_seconds
        for turn in session.turns.values():
            self._deleted_runs[key, turn.run_id] = banned_until
        while len(self._deleted_runs) > MAX_BANS:
            self._deleted_runs.popitem(last=False)
        self._forget(key)

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._sessions:
            key, session = next(iter(self._sessions.items()))
            if session.expires_at > now:
                break
            self._forget(key)
        while self._deleted_runs and next(iter(self._deleted_runs.values())) <= now:
            self._deleted_runs.popitem(last=False)
        # Lifetimes begin now or later but for those there are.
        self._expires_from = now + self._limits.session_ttl_seconds
        for session in itertools.islice(self._sessions.values(), 1):
            self._expires_from = session.expires_at
        for ban_ends_at in itertools.islice(self._deleted_runs.values(), 1):
            self._expires_from = min(self._expires_from, ban_ends_at)

    def _forget(self, key: SessionKey) -> None:
        del self._sessions[key]
        self._drop_busy(key)
        self._note_stored(key, 0)
        self._counts[key.tenant] -= 1
        if not self._counts[key.tenant]:
            del self._counts[key.tenant]

    def _drop_busy(self, key: SessionKey) -> None:
        busy = self._busy.get(key.tenant)
        if busy is not None:
            busy.pop(key, None)
            if not busy:
                del self._busy[key.tenant]

    # -- counting

    def check_limits(
        self, request: BeginTurn, session: Session | None, refused: RequestError | None
    ) -> None:
        """Refuse a turn if there is no room for it now; ``session`` is None if it is to be made.

        With ``refused``, which is raised then, there is room for none.
        """
        if session is not None:
            session.check_busy(request, self._limits)
        if refused is not None:
            raise refused
        tenant = request.key.tenant
        self.check_room(tenant, is_new=session is None)
        most = self._limits.max_turns_per_tenant
        if tenant in self._busy and self._count_active_turns(tenant) >= most:
            raise refusal("too_many_turns")

    def check_room(self, tenant: str, *, is_new: bool) -> None:
        """Refuse a write if the tenant's sessions are too many or too large."""
        if is_new and self._counts[tenant] >= self._limits.max_sessions_per_tenant:
            raise refusal("too_many_sessions")
        if self._stored_by_tenant[tenant] >= self._limits.max_stored_bytes_per_tenant:
            raise refusal("too_much_stored")

    def _count_active_turns(self, tenant: str) -> int:
        active = asking = 0
        for session in self._busy[tenant].values():
            active += len(session.active)
            asking += bool(session.active) and session.asking_turn is not None
        return active - min(asking, self._limits.max_asking_turns_per_tenant)
