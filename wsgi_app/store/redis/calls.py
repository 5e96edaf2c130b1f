"""The calls of the Redis store's scripts, with their keys and arguments in order."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from wsgi_app.compat.python import zip_strict
from wsgi_app.events import CancelReason, EventId, encode_json
from wsgi_app.store.base import (
    MAX_READ_BYTES,
    OBSERVED_SECONDS,
    SECRET_BYTES,
    BeginTurn,
    Fence,
    JournalWrite,
    Message,
    SessionKey,
    StartRate,
    StoreLimits,
    WorkerInfo,
)
from wsgi_app.store.base.sessions import NAME_SECONDS
from wsgi_app.store.redis.keys import (
    Keys,
    encode_message,
    tenant_member,
    worker_member,
)
from wsgi_app.store.redis.scripts import Argument, Call, script

#: How long a key that only shows the right to write is kept.
PROBE_MILLISECONDS: Final = 60_000


class Kept(NamedTuple):
    """A turn that continues, and when its session was created (µs, as text)."""

    fence: Fence
    created: str


class LostRun(NamedTuple):
    """What a lost run adds to the history, and of how many events it is made."""

    #: None: of whatever there are.
    events: int | None = 0
    messages: Sequence[Message] = ()


class Calls:
    """Makes calls with a store's limits and names; has no state."""

    def __init__(self, limits: StoreLimits, keys: Keys) -> None:
        self._limits = limits
        self._keys = keys
        self._ttl = max(1, round(limits.session_ttl_seconds * 1000))
        self._lease = max(1, round(limits.lease_seconds * 1000))

    def secret(self) -> Call:
        """Read the workers' common secret, or set it to a new one."""
        return Call(script("secret"), [self._keys.secret], [secrets.token_bytes(SECRET_BYTES)])

    @staticmethod
    def probe(key: str) -> Call:
        """Write and publish, to see whether that server allows it."""
        return Call(script("probe"), [key], [PROBE_MILLISECONDS])

    # -- of one session

    def session(self, verb: str, key: SessionKey, *arguments: Argument) -> Call:
        """A call that is about one session."""
        return Call(script(verb), [self._keys.session(key)], [self._ttl, *arguments])

    def fenced(self, verb: str, fence: Fence, *arguments: Argument) -> Call:
        """A call that is about one turn."""
        return self.session(verb, fence.key, fence.turn, fence.run_id, *arguments)

    def begin_turn(self, request: BeginTurn, created: str) -> Call:
        """Begin a turn, in a session created then; with '' only if it needs no new one."""
        key = request.idempotency_key
        return self.session(
            "begin_turn",
            request.key,
            request.run_id,
            request.worker_id,
            encode_message(request.user_message),
            request.if_busy,
            "" if key is None else "=" + key,
            request.request_digest,
            self._limits.max_queued_turns,
            self._limits.max_idempotency_keys,
            created,
            int(request.regenerates),
            request.note,
            request.resume,
        )

    def begin_admitted(self, request: BeginTurn) -> Call:
        """Begin a turn behind `own_turn` and `admit_turn` in one round trip, if they went well.

        For a server that has all of their keys.
        """
        begin, key, run_id = self.begin_turn(request, ""), request.key, request.run_id
        others = [self._keys.worker(request.worker_id), *self._keys.tenant(key.tenant)]
        members = [worker_member(key, run_id), tenant_member(key, run_id)]
        return begin._replace(
            keys=[*begin.keys, *others],
            arguments=[*begin.arguments, key.session_id, *members],
        )

    def write(self, write: JournalWrite) -> Call:
        """An append or a finish."""
        if write.step is not None and write.step.number:
            step = (write.step.number, self._limits.record_bytes, *write.step[1:])
            return self.fenced("record_step", write.fence, write.first_seq, *step, *write.events)
        if write.messages is None:
            return self.fenced("append", write.fence, write.first_seq, *write.events)
        return self.fenced(
            "finish",
            write.fence,
            write.first_seq,
            self._limits.history_bytes,
            self._limits.journal_bytes,
            len(write.events),
            *write.events,
            *map(encode_message, write.messages),
        )

    def read(
        self, key: SessionKey, after: EventId, max_events: int, mark: str = "", follower: str = ""
    ) -> Call:
        """Read events behind a cursor."""
        bounds = (max_events, MAX_READ_BYTES)
        return self.session(
            "read", key, self._lease, follower, after.turn, after.seq, *bounds, mark
        )

    def request_cancel(
        self, key: SessionKey, turn: int | None, reason: CancelReason, follower: str
    ) -> Call:
        """Flag turns."""
        only = "" if turn is None else turn
        return self.session("request_cancel", key, self._lease, follower, only, reason)

    def follow(self, worker_id: str, key: SessionKey) -> Call:
        """Note a follower."""
        return self.session("follow", key, self._lease, worker_id)

    def mark_lost(
        self,
        key: SessionKey,
        errors: tuple[bytes, bytes],
        worker_id: str,
        runs: Mapping[str, LostRun],
    ) -> Call:
        """End runs of one worker, or of any (''), that no other worker continues."""
        bounds = (self._limits.history_bytes, self._limits.journal_bytes)
        spared = (self._limits.max_attempts, self._lease)
        runs_to_end: list[Argument] = []
        for run_id, (events, messages) in runs.items():
            runs_to_end += [run_id, "" if events is None else events, len(messages)]
            runs_to_end += map(encode_message, messages)
        return self.session("mark_lost", key, *bounds, *errors, *spared, worker_id, *runs_to_end)

    # -- of a tenant

    def _tenant(self, verb: str, tenant: str, *arguments: Argument) -> Call:
        return Call(script(verb), self._keys.tenant(tenant), [self._ttl, *arguments])

    def name_turn(self, key: SessionKey, turn: int, name: str) -> Call:
        """Name a turn."""
        name_key = self._keys.turn_name(key.tenant, name)
        return Call(script("name_turn"), [name_key], [NAME_SECONDS * 1000, key.session_id, turn])

    def named_turn(self, tenant: str, name: str) -> Call:
        """Find a named turn."""
        return Call(script("named_turn"), [self._keys.turn_name(tenant, name)], [])

    def admit_turn(self, request: BeginTurn) -> Call:
        """Count the start, and take a place among the tenant's turns and sessions."""
        key, rate = request.key, request.rate
        return Call(
            script("admit_turn"),
            [
                *self._keys.tenant(key.tenant),
                *(self._keys.starts(key.tenant, rate) if rate else ()),
            ],
            [
                self._ttl,
                self._lease,
                key.session_id,
                tenant_member(key, request.run_id),
                self._limits.max_turns_per_tenant,
                self._limits.max_sessions_per_tenant,
                self._limits.max_stored_bytes_per_tenant,
                *(rate or ()),
            ],
        )

    def admit_session(self, key: SessionKey) -> Call:
        """Take a place among the tenant's sessions."""
        limits = self._limits
        bounds = (limits.max_sessions_per_tenant, limits.max_stored_bytes_per_tenant)
        return self._tenant("admit_session", key.tenant, key.session_id, *bounds)

    def uncount_start(self, tenant: str, rate: StartRate) -> Call:
        """Take back a start that was counted."""
        return Call(script("uncount_start"), self._keys.starts(tenant, rate), [rate.window_seconds])

    def renew_turns(self, kept: Iterable[Kept]) -> list[Call]:
        """Renew the places of turns and sessions, or take them one."""
        by_tenant: defaultdict[str, list[Argument]] = defaultdict(list)
        for (key, _, run_id), created in kept:
            member = tenant_member(key, run_id)
            by_tenant[key.tenant] += [key.session_id, created, member]
        return [
            self._tenant("renew_turns", tenant, self._lease, *arguments)
            for tenant, arguments in by_tenant.items()
        ]

    def release_turns(
        self,
        key: SessionKey,
        runs: Sequence[tuple[str, str]],
        created: str = "",
        *,
        deleted: bool = False,
        stored_bytes: int | None = None,
    ) -> list[Call]:
        """Return the places of ended runs (each with its worker), or of their session too.

        ``stored_bytes`` are what the session holds now; None if that is not known.
        """
        members = [tenant_member(key, run_id) for run_id, _ in runs]
        stored = "" if stored_bytes is None else stored_bytes
        session = (key.session_id, created, int(deleted), stored)
        return [
            self._tenant("release_turns", key.tenant, *session, *members),
            *(
                self.workers("disown_turn", [worker_id], worker_member(key, run_id))
                for run_id, worker_id in runs
                if worker_id
            ),
        ]

    def release_ended(self, fence: Fence, worker_id: str) -> Call:
        """Return the places of a turn of this worker behind its finish, in one round trip.

        For a server that has all of their keys.
        """
        key, run_id = fence.key, fence.run_id
        return Call(
            script("release_ended"),
            [
                *self._keys.tenant(key.tenant),
                self._keys.session(key),
                self._keys.worker(worker_id),
            ],
            [
                self._ttl,
                key.session_id,
                fence.turn,
                run_id,
                tenant_member(key, run_id),
                worker_member(key, run_id),
            ],
        )

    def move_turn(self, fence: Fence, *, asks: bool) -> Call:
        """Count a turn among those that wait for their users, or again among those that run."""
        most = self._limits.max_asking_turns_per_tenant
        member = tenant_member(fence.key, fence.run_id)
        return self._tenant("move_turn", fence.key.tenant, self._lease, member, most, int(asks))

    def list_sessions(self, tenant: str, count: int, before: tuple[str, str]) -> Call:
        """List sessions, from the one behind ``before``: a creation and a name."""
        return self._tenant("list_sessions", tenant, count, *before)

    def recent_sessions(self, tenant: str, seconds: float) -> Call:
        """List the sessions that were created within this time."""
        return self._tenant("recent_sessions", tenant, round(seconds * 1000))

    # -- of workers

    def workers(self, verb: str, worker_ids: Sequence[str], *arguments: Argument) -> Call:
        """A call that is about workers; their turns are its keys."""
        keys = [self._keys.alive, *map(self._keys.worker, worker_ids)]
        return Call(script(verb), keys, [self._ttl, self._lease, *arguments])

    def observe_workers(self) -> Call:
        """List the living workers, and have them report more."""
        return self.workers("list_workers", [], round(OBSERVED_SECONDS * 1000))

    def own_turn(self, request: BeginTurn) -> Call:
        """Note a turn of the worker, before it begins."""
        member = worker_member(request.key, request.run_id)
        return self.workers("own_turn", [request.worker_id], member)

    def beat(self, worker_id: str, fences: Iterable[Fence], info: WorkerInfo) -> Call:
        """Renew a worker's lease on these turns."""
        members = [worker_member(fence.key, fence.run_id) for fence in fences]
        return self.workers("beat", [worker_id], worker_id, encode_json(info), *members)

    def heartbeats(
        self,
        worker_id: str,
        fences: Sequence[Fence],
        following: Sequence[SessionKey],
        group: Callable[[str, int], Hashable],
    ) -> list[tuple[Call, list[Fence], list[SessionKey]]]:
        """Renew sessions; each call with the fences and sessions that it answers for."""
        shares: defaultdict[Hashable, tuple[list[Fence], list[SessionKey]]]
        shares = defaultdict(lambda: ([], []))
        for index, fence in enumerate(fences):
            shares[group(self._keys.session(fence.key), index)][0].append(fence)
        for index, key in enumerate(following, len(fences)):
            shares[group(self._keys.session(key), index)][1].append(key)
        return [(self._heartbeat(worker_id, *share), *share) for share in shares.values()]

    def _heartbeat(
        self, worker_id: str, fences: Sequence[Fence], following: Sequence[SessionKey]
    ) -> Call:
        keys = [*(fence.key for fence in fences), *following]
        turns = [part for fence in fences for part in (fence.turn, fence.run_id)]
        arguments = [self._ttl, self._lease, worker_id, len(fences), *turns]
        return Call(script("heartbeat"), [self._keys.session(key) for key in keys], arguments)


def pairs(flat: Sequence[bytes]) -> list[tuple[str, str]]:
    """Read a script's flat list in pairs."""
    texts = [text.decode() for text in flat]
    return list(zip_strict(texts[::2], texts[1::2]))


def triples(flat: Sequence[bytes]) -> list[tuple[str, str, str]]:
    """Read a script's flat list in triples."""
    texts = [text.decode() for text in flat]
    return list(zip_strict(texts[::3], texts[1::3], texts[2::3]))
