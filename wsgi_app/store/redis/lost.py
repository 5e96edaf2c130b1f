"""Ends the turns of workers that are gone, in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from wsgi_app.compat.python import zip_strict
from wsgi_app.events import EventId
from wsgi_app.store.base import Closing, Fence, SessionKey
from wsgi_app.store.redis.calls import Calls, LostRun, pairs, triples
from wsgi_app.store.redis.edge import Edge
from wsgi_app.store.redis.replies import journal_slice
from wsgi_app.store.redis.scripts import Call

#: How often events are read again of a turn that still gets some; its worker lives then.
TRIES: Final = 3
EVENTS_AT_ONCE: Final = 1000


class LostTurns:
    """Ends turns with what their journals hold; has no state of its own."""

    def __init__(self, edge: Edge, calls: Calls) -> None:
        self._edge = edge
        self._calls = calls

    def end(
        self,
        runs: Mapping[SessionKey, Sequence[str]],
        errors: tuple[bytes, bytes],
        close: Closing,
        worker_id: str = "",
    ) -> tuple[list[Fence], int]:
        """End these runs, of one worker or of whichever; raises StoreUnavailable.

        Returns those that were ended, and how many were spared since another worker may continue
        them.

        Each session's are ended in one script, which does nothing if a journal holds other events
        than those that were read: first none, as of most.
        """
        waiting = {key: {run_id: LostRun() for run_id in ids} for key, ids in runs.items()}
        lost: list[Fence] = []
        all_spared = 0
        after: list[Call] = []
        for tries_left in reversed(range(TRIES + 1)):
            calls = [self._calls.mark_lost(key, errors, worker_id, waiting[key]) for key in waiting]
            replies = zip_strict(list(waiting), self._edge.run_all(calls))
            for key, (created, spared, *flat) in replies:
                if created == b"unread":
                    unread = {
                        run_id: self._read(key, int(turn), close, is_last=tries_left == 1)
                        for turn, run_id in pairs(flat)
                    }
                    waiting[key].update(unread)
                    continue
                del waiting[key]
                all_spared += spared
                turns = triples(flat)
                lost += [Fence(key, int(turn), run_id) for turn, run_id, _ in turns if turn]
                # Those that had ended before may still have their places.
                owned_runs = [(run_id, worker) for _, run_id, worker in turns]
                after += self._calls.release_turns(key, owned_runs, created.decode())
            if not waiting:
                break
        self._edge.run_many(after)
        return lost, all_spared

    def _read(self, key: SessionKey, turn: int, close: Closing, *, is_last: bool) -> LostRun:
        events: list[bytes] = []
        after = EventId(turn, 0)
        while True:
            call = self._calls.read(key, after, EVENTS_AT_ONCE)
            found = journal_slice(self._edge.run(call))
            new = [(at, event) for at, event in found.events if at.turn == turn] if found else []
            if not new:
                break
            events += [event for _, event in new]
            after = new[-1][0]
        return LostRun(None if is_last else len(events), close(events))
