"""The store of many workers: the contract as Lua scripts in Redis, one for each operation.

What concerns one session happens in one script. What is counted beside it (a tenant's turns and
sessions, a worker's turns) lives in keys of its own, which may be in other slots of a cluster: they
are written before a turn begins and after it has ended, and heartbeats put right what an untimely
end in between has left over.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from redis import Redis

from wsgi_app.compat.python import zip_strict
from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.events import CancelReason, EventId
from wsgi_app.store.base import (
    MAX_READ_BYTES,
    Appended,
    BeginTurn,
    Closing,
    Fence,
    Heartbeat,
    JournalSlice,
    JournalWrite,
    Message,
    SessionKey,
    SessionPage,
    SessionView,
    Signal,
    Store,
    StoreLimits,
    TurnBegun,
    TurnClaim,
    WorkerInfo,
    WorkerView,
    no_messages,
)
from wsgi_app.store.cursor import decode_cursor, encode_cursor
from wsgi_app.store.redis.admission import begin_admitted
from wsgi_app.store.redis.calls import Calls, Kept, pairs
from wsgi_app.store.redis.edge import Edge
from wsgi_app.store.redis.keys import (
    Keys,
    decode_messages,
    parse_worker_member,
    worker_member,
)
from wsgi_app.store.redis.large import LargeReads
from wsgi_app.store.redis.lost import LostTurns
from wsgi_app.store.redis.offers import RedisOffers
from wsgi_app.store.redis.replies import cancel_reason, journal_slice, session_view, worker_views
from wsgi_app.store.redis.rights import explain, explained
from wsgi_app.store.redis.scripts import Argument, Call
from wsgi_app.store.redis.signals import SignalThread, StartThread
from wsgi_app.store.refusals import refusal

_ANY_SIZE: Final = 2**53


class RedisStore(Store):
    """Sessions in Redis, a Sentinel's master, or a Redis Cluster.

    Those of one namespace: stores with another see none of them, nor each other's workers.

    Touched by every thread of the worker; its parts guard themselves. Connects on first use, and
    starts no thread but by ``start_thread``, for which `listen` asks.
    """

    shared = True

    def __init__(  # noqa: PLR0913 - options of one connection, by name
        self,
        url: str,
        limits: StoreLimits | None = None,
        *,
        namespace: str = "",
        timeout_seconds: float = 1.0,
        start_thread: StartThread | None = None,
        measured: bool = True,
    ) -> None:
        self._keys = Keys(namespace)
        self._calls = Calls(limits or StoreLimits(), self._keys)
        self._edge = Edge(url, timeout_seconds, namespace if measured else None)
        self._lost = LostTurns(self._edge, self._calls)
        self.offers = RedisOffers(self._edge, self._calls)
        self._large_reads = LargeReads()
        self._start_thread = start_thread
        self._listeners: list[SignalThread] = []

    # -- a turn's life

    def begin_turn(self, request: BeginTurn) -> TurnBegun:
        return begin_admitted(self._edge, self._calls, request)

    def claim_turn(self, fence: Fence) -> TurnClaim:
        state, cancel, messages = self._run_fenced("claim_turn", fence)
        return TurnClaim(state.decode(), decode_messages(messages), cancel_reason(cancel))

    def append(self, fence: Fence, first_seq: int, events: Sequence[bytes]) -> Appended:
        return self._write_alone(JournalWrite(fence, first_seq, events))

    def finish(
        self, fence: Fence, first_seq: int, events: Sequence[bytes], messages: Sequence[Message]
    ) -> int:
        return self._write_alone(JournalWrite(fence, first_seq, events, messages)).last_seq

    def write(self, writes: Sequence[JournalWrite]) -> list[Appended | Fenced | StoreUnavailable]:
        replies = self._edge.run_many([self._calls.write(write) for write in writes])
        answers: list[Appended | Fenced | StoreUnavailable] = []
        after: list[Call] = []
        for write, reply in zip_strict(writes, replies):
            if reply == b"fenced":
                answers.append(Fenced())
            elif isinstance(reply, StoreUnavailable):
                answers.append(reply)
            elif write.messages is None:
                answers.append(Appended(reply[0], cancel_reason(reply[1]), bool(reply[2])))
                after += self._enrol(write.fence, reply[3])
            else:
                last_seq, ended, worker, created, stored = reply
                answers.append(Appended(last_seq, None))
                if ended:
                    run = (write.fence.run_id, worker.decode())
                    after += self._calls.release_turns(
                        write.fence.key, [run], created.decode(), stored_bytes=stored
                    )
                else:
                    after += self._enrol(write.fence, created)
        # What of this fails, the next heartbeat or the end of a lease puts right.
        self._edge.run_many(after)
        return answers

    def _write_alone(self, write: JournalWrite) -> Appended:
        answer = self.write([write])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def follow(self, worker_id: str, key: SessionKey) -> None:
        self._edge.run(self._calls.follow(worker_id, key))

    def read(
        self, key: SessionKey, after: EventId, max_events: int, mark: str = ""
    ) -> JournalSlice | None:
        return journal_slice(self._edge.run(self._calls.read(key, after, max_events, mark)))

    def request_cancel(self, key: SessionKey, turn: int | None, reason: CancelReason) -> list[int]:
        flagged = self._run("request_cancel", key, "" if turn is None else turn, reason)
        return [int(number) for number in flagged]

    # -- questions

    def open_input(self, fence: Fence, request_id: str) -> None:
        revived = self._run_fenced("open_input", fence, request_id)
        self._edge.run_many([*self._enrol(fence, revived), self._calls.move_turn(fence, asks=True)])

    def post_input(self, key: SessionKey, request_id: str, value: bytes) -> None:
        if not self._run("post_input", key, request_id, value, secrets.token_hex(8)):
            raise refusal("no_pending_input")

    def take_input(self, fence: Fence, request_id: str) -> bytes | None:
        revived, answer = (*self._run_fenced("take_input", fence, request_id), None)[:2]
        moved = [] if answer is None else [self._calls.move_turn(fence, asks=False)]
        self._edge.run_many([*self._enrol(fence, revived), *moved])
        return cast("bytes | None", answer)

    def close_input(self, fence: Fence, request_id: str) -> None:
        if self._run_fenced("close_input", fence, request_id):
            self._edge.run_many([self._calls.move_turn(fence, asks=False)])

    # -- workers

    def heartbeat(
        self,
        worker_id: str,
        fences: Sequence[Fence],
        following: Sequence[SessionKey] = (),
        info: WorkerInfo | None = None,
    ) -> Heartbeat:
        shares = self._calls.heartbeats(worker_id, fences, following, self._edge.group)
        calls = [
            self._calls.beat(worker_id, fences, info or WorkerInfo()),
            *(call for call, _, _ in shares),
        ]
        states: dict[Fence, list[str]] = {}
        followed: dict[SessionKey, str] = {}
        watched, *replies = self._edge.run_all(calls)
        for (_, owned, others), answers in zip_strict(shares, replies):
            texts = [answer.decode() for answer in answers]
            states.update(zip_strict(owned, (text.split(" ") for text in texts[: len(owned)])))
            followed.update(zip_strict(others, texts[len(owned) :]))
        kept = [Kept(f, state[1]) for f, state in states.items() if state[0] == "kept"]
        self._edge.run_all(self._calls.renew_turns(kept))
        cancels = {f: cast("CancelReason", states[f][2]) for f, _ in kept if states[f][2]}
        fenced = [fence for fence in fences if states[fence][0] == "fenced"]
        return Heartbeat(cancels, fenced, bool(watched), followed)

    def leave(self, worker_id: str) -> None:
        self._edge.run(self._calls.workers("leave", [], worker_id))

    def workers(self) -> list[WorkerView]:
        return worker_views(self._edge.run(self._calls.workers("list_workers", [])))

    def watch_workers(self) -> list[WorkerView]:
        return worker_views(self._edge.run(self._calls.watch_workers()))

    def lost_workers(self) -> list[str]:
        lost = self._edge.run(self._calls.workers("lost_workers", []))
        return [worker_id.decode() for worker_id in lost]

    def mark_lost(self, worker_id: str, error: bytes, close: Closing = no_messages) -> list[Fence]:
        runs: defaultdict[SessionKey, list[str]] = defaultdict(list)
        for member in self._edge.run(self._calls.workers("list_turns", [worker_id])):
            key, run_id = parse_worker_member(member.decode())
            runs[key].append(run_id)
        lost = self._lost.end(runs, error, close, worker_id)
        self._edge.run(self._calls.workers("leave", [], worker_id))
        return lost

    def settle_session(
        self, key: SessionKey, error: bytes, close: Closing = no_messages
    ) -> list[Fence]:
        turns = pairs(self._run("settle_session", key))
        if not turns:
            return []
        members = [part for run, worker in turns for part in (worker, worker_member(key, run))]
        asked = self._calls.workers("owned_turns", [worker for _, worker in turns], *members)
        owned = self._edge.run(asked)
        lost = [run for (run, _), is_owned in zip_strict(turns, owned) if not is_owned]
        return self._lost.end({key: lost} if lost else {}, error, close)

    # -- sessions

    def describe_session(self, key: SessionKey, *, messages: bool = True) -> SessionView | None:
        reply = self._run("describe_session", key, MAX_READ_BYTES if messages else 0)
        if reply is not None and reply[-1] == b"large":
            with self._large_reads.one():
                reply = self._run("describe_session", key, _ANY_SIZE)
        return session_view(key, reply)

    def list_sessions(self, tenant: str, limit: int, cursor: str | None) -> SessionPage:
        before = ("", "")
        if cursor is not None:
            created_at, session_id = decode_cursor(cursor)
            before = (f"{created_at * 1e6:.0f}", session_id)
        views: list[SessionView] = []
        while len(views) <= limit:
            rows = pairs(self._edge.run(self._calls.list_sessions(tenant, limit + 1, before)))
            keys = [SessionKey(tenant, session_id) for session_id, _ in rows]
            calls = [self._calls.session("describe_session", key, 0) for key in keys]
            replies = zip_strict(keys, self._edge.run_all(calls))
            # A session may have gone since it was listed.
            found = [session_view(key, reply) for key, reply in replies]
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

    # -- the process

    def listen(
        self,
        listener: Callable[[Signal], None],
        worker_id: str = "",
        resync: Callable[[], None] | None = None,
    ) -> None:
        if self._start_thread is None:
            raise RuntimeError("a store made without start_thread cannot listen")
        thread = SignalThread(self._edge.pubsub, self._keys, worker_id, listener, resync)
        self._listeners.append(thread)
        thread.start(self._start_thread, self._edge.timeout_seconds)

    def secret(self) -> bytes:
        found: bytes = self._edge.run(self._calls.secret())
        return found

    def ping(self) -> None:
        with explained(self._keys):
            self._edge.run_all([*map(self._calls.probe, self._edge.spread(self._keys.probe))])

    def check_listening(self) -> None:
        with explained(self._keys):
            self._edge.try_channel(self._keys.channel(""))

    def warnings(self) -> list[str]:
        found = [
            f"Redis may drop sessions: its maxmemory-policy is {policy}, not noeviction."
            for policy in self._policies()
            if policy != "noeviction"
        ]
        if any(listener.refused for listener in self._listeners):
            why = explain("NOPERM", self._keys)
            found.append(f"No signals: cancels of other workers' turns are late. {why}")
        return found

    def _policies(self) -> list[str]:
        try:
            return sorted(set(self._edge.ask_servers(_eviction_policy)))
        except StoreUnavailable as error:
            if error.reason != "NOPERM":
                raise
            return []  # its user may not ask, and works all the same

    def close(self) -> None:
        while self._listeners:
            self._listeners.pop().close(self._edge.timeout_seconds)
        self._edge.close()

    # -- inside

    def _run(self, verb: str, key: SessionKey, *arguments: Argument) -> Any:
        return self._edge.run(self._calls.session(verb, key, *arguments))

    def _run_fenced(self, verb: str, fence: Fence, *arguments: Argument) -> Any:
        reply = self._edge.run(self._calls.fenced(verb, fence, *arguments))
        if reply == b"fenced":
            raise Fenced
        return reply

    def _enrol(self, fence: Fence, created: bytes) -> list[Call]:
        """Count a turn that was made anew, in a session that was created then ('' if not)."""
        return self._calls.renew_turns([Kept(fence, created.decode())] if created else [])


def _eviction_policy(server: Redis) -> str:
    return str(server.info("memory").get("maxmemory_policy", "noeviction"))
