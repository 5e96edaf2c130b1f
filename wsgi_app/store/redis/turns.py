"""A turn's life in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsgi_app.compat.python import zip_strict
from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.events import CancelReason
from wsgi_app.store.base import (
    Appended,
    BeginTurn,
    Fence,
    JournalWrite,
    Message,
    SessionKey,
    TurnBegun,
    TurnClaim,
)
from wsgi_app.store.base.turns import TurnOperations
from wsgi_app.store.redis.admission import begin_admitted
from wsgi_app.store.redis.keys import decode_messages
from wsgi_app.store.redis.part import RedisPart
from wsgi_app.store.redis.replies import cancel_reason
from wsgi_app.store.redis.scripts import Call


class RedisTurns(RedisPart, TurnOperations):
    """See `TurnOperations`."""

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
        releases = self._releases(writes)
        calls = [*map(self._calls.write, writes), *releases.values()]
        replies = self._edge.run_many(calls)
        released = dict(zip_strict(releases, replies[len(writes) :]))
        answers: list[Appended | Fenced | StoreUnavailable] = []
        after: list[Call] = []
        for write, reply in zip(writes, replies):
            answer, calls = self._settle(write, reply, is_released=released.get(write.fence) == 1)
            answers.append(answer)
            after += calls
        # What of this fails, the next heartbeat or the end of a lease puts right.
        self._edge.run_many(after)
        return answers

    def _releases(self, writes: Sequence[JournalWrite]) -> dict[Fence, Call]:
        """What returns the places of turns that end, where that fits into the round trip."""
        try:
            if not self._worker_id or not self._edge.is_alone:
                return {}
        except StoreUnavailable:
            return {}  # as the writes themselves will find
        ends = [write.fence for write in writes if write.messages is not None]
        return {fence: self._calls.release_ended(fence, self._worker_id) for fence in ends}

    def _settle(
        self, write: JournalWrite, reply: Any, *, is_released: bool
    ) -> tuple[Appended | Fenced | StoreUnavailable, list[Call]]:
        """What one write did, and what is to be done after it."""
        if reply == b"fenced":
            return Fenced(), []
        if isinstance(reply, StoreUnavailable):
            return reply, []
        if write.messages is None:
            last_seq, cancel, followed, revived = reply
            appended = Appended(last_seq, cancel_reason(cancel), bool(followed))
            return appended, self._enrol(write.fence, revived)
        last_seq, ended, worker, created, stored = reply
        if not ended:
            return Appended(last_seq, None), self._enrol(write.fence, created)
        if is_released and worker.decode() in ("", self._worker_id):
            return Appended(last_seq, None), []
        run = (write.fence.run_id, worker.decode())
        return Appended(last_seq, None), self._calls.release_turns(
            write.fence.key, [run], created.decode(), stored_bytes=stored
        )

    def _write_alone(self, write: JournalWrite) -> Appended:
        answer = self.write([write])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def request_cancel(
        self, key: SessionKey, turn: int | None, reason: CancelReason, *, follower: str = ""
    ) -> list[int]:
        flagged = self._edge.run(self._calls.request_cancel(key, turn, reason, follower))
        return [int(number) for number in flagged]
