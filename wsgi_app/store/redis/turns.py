"""A turn's life in Redis."""

from __future__ import annotations

from collections.abc import Sequence

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

    def request_cancel(
        self, key: SessionKey, turn: int | None, reason: CancelReason, *, follower: str = ""
    ) -> list[int]:
        flagged = self._edge.run(self._calls.request_cancel(key, turn, reason, follower))
        return [int(number) for number in flagged]
