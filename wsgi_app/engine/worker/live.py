"""What a worker reports of its turns to operators who observe it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal

from msgspec.structs import replace

from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.events import Token
from wsgi_app.store.base import MinuteInfo, TurnInfo, WorkerInfo

#: A heartbeat should stay small, however many turns a worker runs.
MAX_REPORTED_TURNS: Final = 100
MINUTES: Final = 60


class LiveTurns:
    """Counts turns by minutes, and the tokens of those that are reported.

    `note` is called by request threads, the rest by the heartbeat's, or by the request that
    registers the worker; ``_lock`` guards all counts.
    """

    def __init__(self) -> None:
        #: Whether an operator observes the worker, by its last heartbeat.
        self.observed = False
        self._lock = threading.Lock()
        self._minutes: deque[MinuteInfo] = deque(maxlen=MINUTES)
        #: Up to which event a run's tokens were counted, and how many there were.
        self._counted: dict[TurnRun, tuple[int, int]] = {}

    def add_to(self, about: WorkerInfo, select_runs: Callable[[], Sequence[TurnRun]]) -> WorkerInfo:
        """Note how many turns there are, and add them and the last hour if it is observed."""
        self.note(turns=about.turns)
        if not self.observed:
            with self._lock:
                self._counted = {}
            return about
        live, left_out = self._report(select_runs())
        with self._lock:
            return replace(about, live=live, left_out=left_out, hour=tuple(self._minutes))

    def _report(self, runs: Sequence[TurnRun]) -> tuple[tuple[TurnInfo, ...], int]:
        """The oldest of these turns, and how many more there are."""
        going = sorted((run for run in runs if not run.ended), key=lambda run: run.begun_at)
        reported = going[:MAX_REPORTED_TURNS]
        with self._lock:
            self._counted = {run: self._count(run) for run in reported}
            found = tuple(_describe(run, self._counted[run][1]) for run in reported)
        return found, len(going) - len(reported)

    def _count(self, run: TurnRun) -> tuple[int, int]:
        seq, tokens = self._counted.get(run, (0, 0))
        newest = run.log.last_seq
        entries = run.log.read(seq, newest - seq)
        return newest, tokens + sum(isinstance(entry.event, Token) for entry in entries)

    def note(self, *, turns: int = 0, begun: int = 0) -> None:
        """So many turns are there, or have begun just now."""
        minute = int(time.time() // 60)
        with self._lock:
            if not self._minutes or self._minutes[-1].minute != minute:
                self._minutes.append(MinuteInfo(minute, 0, 0))
            now = self._minutes[-1]
            self._minutes[-1] = MinuteInfo(minute, max(now.most, turns), now.begun + begun)


def _describe(run: TurnRun, tokens: int) -> TurnInfo:
    state: Literal["running", "asking", "waiting"] = "running" if run.running else "waiting"
    key = run.fence.key
    return TurnInfo(
        tenant=key.tenant,
        session_id=key.session_id,
        turn=run.fence.turn,
        state="asking" if run.questions.waiting else state,
        begun_at=run.begun_at,
        tokens=tokens,
    )
