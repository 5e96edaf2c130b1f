"""Turns that are resumed, in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from wsgi_app.events import EventId
from wsgi_app.store.redis.calls import Calls, Kept
from wsgi_app.store.redis.edge import Edge
from wsgi_app.store.redis.keys import decode_messages, parse_worker_member, worker_member
from wsgi_app.store.redis.replies import journal_slice
from wsgi_app.store.redis.scripts import Argument
from wsgi_app.store.resumes import ATTEMPT_SEQS, LostTurn, Resumed, Resumes
from wsgi_app.store.values import Fence, SessionKey

_EVENTS_AT_ONCE: Final = 1000


class RedisResumes(Resumes):
    """Used by any thread; has no state of its own."""

    def __init__(
        self,
        edge: Edge,
        calls: Calls,
        max_attempts: int,
        unowned: Callable[[SessionKey], list[str]],
    ) -> None:
        self._edge = edge
        self._calls = calls
        self._max_attempts = max_attempts
        self._unowned = unowned

    def gone_workers(self) -> list[str]:
        """See `Resumes.gone_workers`."""
        gone = self._edge.run(self._calls.workers("gone_workers", []))
        return [worker_id.decode() for worker_id in gone]

    def declare_lost(self, worker_id: str) -> None:
        """See `Resumes.declare_lost`."""
        self._edge.run(self._calls.workers("declare_lost", [], worker_id))

    def of_worker(self, worker_id: str) -> list[tuple[SessionKey, str]]:
        """See `Resumes.of_worker`."""
        members = self._edge.run(self._calls.workers("list_turns", [worker_id]))
        return [parse_worker_member(member.decode()) for member in members]

    def of_session(self, key: SessionKey) -> list[tuple[SessionKey, str]]:
        """See `Resumes.of_session`."""
        return [(key, run_id) for run_id in self._unowned(key)]

    def look(self, key: SessionKey, run_id: str) -> LostTurn | None:
        """See `Resumes.look`."""
        reply = self._edge.run(self._calls.session("look_at_lost", key, run_id, self._max_attempts))
        if reply is None:
            return None
        turn, worker, resume, attempt, stored, elapsed, question, records = reply
        return LostTurn(
            fence=Fence(key, int(turn), run_id),
            worker_id=worker.decode(),
            resume=resume,
            attempt=attempt,
            stored=stored,
            elapsed_seconds=int(elapsed) / 1e6 if elapsed else None,
            question=question.decode(),
            records=records,
        )

    def events(self, turn: LostTurn) -> list[bytes]:
        """See `Resumes.events`."""
        key, number, _ = turn.fence
        events: list[bytes] = []
        after = EventId(number, 0)
        while len(events) < turn.stored:
            call = self._calls.read(key, after, _EVENTS_AT_ONCE)
            found = journal_slice(self._edge.run(call))
            new = [(at, event) for at, event in found.events if at.turn == number] if found else []
            if not new:
                break  # it has gone
            events += [event for _, event in new]
            after = new[-1][0]
        return events[: turn.stored]

    def take(
        self, turn: LostTurn, worker_id: str, run_id: str, events: Sequence[bytes]
    ) -> Resumed | None:
        """See `Resumes.take`."""
        key, old_run_id = turn.fence.key, turn.fence.run_id
        # First: a turn that is taken has an owner at every moment.
        member = worker_member(key, run_id)
        self._edge.run(self._calls.workers("own_turn", [worker_id], member))
        seq = turn.attempt * ATTEMPT_SEQS
        arguments: list[Argument] = [old_run_id, self._max_attempts, turn.worker_id, turn.stored]
        arguments += [len(turn.records), turn.question, run_id, worker_id, seq, *events]
        reply = self._edge.run(self._calls.session("resume_turn", key, *arguments))
        if reply is None:
            self._edge.run_many([self._calls.workers("disown_turn", [worker_id], member)])
            return None
        number, created, messages = reply
        fence = Fence(key, int(number), run_id)
        # What of this fails, the next heartbeat or the end of a lease puts right.
        self._edge.run_many(
            [
                *self._calls.renew_turns([Kept(fence, created.decode())]),
                *self._calls.release_turns(key, [(old_run_id, turn.worker_id)]),
            ]
        )
        return Resumed(fence, decode_messages(messages))
