"""Workers and their leases in Redis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from wsgi_app.compat.python import zip_strict
from wsgi_app.events import CancelReason
from wsgi_app.store.base import (
    Closing,
    Fence,
    Heartbeat,
    SessionKey,
    WorkerInfo,
    WorkerView,
    no_messages,
)
from wsgi_app.store.base.workers import WorkerOperations
from wsgi_app.store.redis.calls import Kept, pairs
from wsgi_app.store.redis.keys import parse_worker_member, worker_member
from wsgi_app.store.redis.lost import LostTurns
from wsgi_app.store.redis.part import RedisPart
from wsgi_app.store.redis.replies import worker_views


class RedisWorkers(RedisPart, WorkerOperations):
    """See `WorkerOperations`."""

    _lost: LostTurns

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
        observed, *replies = self._edge.run_all(calls)
        for (_, owned, others), answers in zip_strict(shares, replies):
            texts = [answer.decode() for answer in answers]
            states.update(zip_strict(owned, (text.split(" ") for text in texts[: len(owned)])))
            followed.update(zip_strict(others, texts[len(owned) :]))
        kept = [Kept(f, state[1]) for f, state in states.items() if state[0] == "kept"]
        self._edge.run_all(self._calls.renew_turns(kept))
        cancels = {f: cast("CancelReason", states[f][2]) for f, _ in kept if states[f][2]}
        fenced = [fence for fence in fences if states[fence][0] == "fenced"]
        return Heartbeat(cancels, fenced, bool(observed), followed)

    def leave(self, worker_id: str) -> None:
        self._edge.run(self._calls.workers("leave", [], worker_id))

    def workers(self) -> list[WorkerView]:
        return worker_views(self._edge.run(self._calls.workers("list_workers", [])))

    def observe_workers(self) -> list[WorkerView]:
        return worker_views(self._edge.run(self._calls.observe_workers()))

    def lost_workers(self) -> list[str]:
        lost = self._edge.run(self._calls.workers("lost_workers", []))
        return [worker_id.decode() for worker_id in lost]

    def mark_lost(
        self, worker_id: str, error: bytes, close: Closing = no_messages, again: bytes = b""
    ) -> list[Fence]:
        runs: defaultdict[SessionKey, list[str]] = defaultdict(list)
        for member in self._edge.run(self._calls.workers("list_turns", [worker_id])):
            key, run_id = parse_worker_member(member.decode())
            runs[key].append(run_id)
        lost, spared = self._lost.end(runs, (error, again), close, worker_id)
        if not spared:
            self._edge.run(self._calls.workers("leave", [], worker_id))
        return lost

    def settle_session(
        self, key: SessionKey, error: bytes, close: Closing = no_messages, again: bytes = b""
    ) -> list[Fence]:
        lost = self._unowned(key)
        return self._lost.end({key: lost} if lost else {}, (error, again), close)[0]

    def _unowned(self, key: SessionKey) -> list[str]:
        """The runs of a session that no living worker owns."""
        turns = pairs(self._run("settle_session", key))
        if not turns:
            return []
        members = [part for run, worker in turns for part in (worker, worker_member(key, run))]
        asked = self._calls.workers("owned_turns", [worker for _, worker in turns], *members)
        owned = self._edge.run(asked)
        return [run for (run, _), is_owned in zip_strict(turns, owned) if not is_owned]
