"""A turn as the journal sees it, and how far it is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Protocol

from msgspec import Struct, field

from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.events import CancelReason, Terminal
from wsgi_app.store.base import Fence, Message, StepWrite


class JournaledTurn(Protocol):
    """What the journal needs of a turn."""

    fence: Fence
    #: How many of its events the store has from the start.
    stored_before: int

    @property
    def leaving(self) -> bool: ...
    @property
    def running(self) -> bool: ...
    @property
    def log(self) -> EventLog: ...
    @property
    def terminal(self) -> Terminal | None: ...
    @property
    def ended_at(self) -> float: ...
    def cancel(self, reason: CancelReason) -> bool: ...
    def closing_messages(self) -> Sequence[Message]: ...
    def publish(self) -> None: ...
    def fence_off(self) -> None: ...
    def fail(self) -> None: ...
    def take_answer(self) -> None: ...
    def leave(self) -> None: ...
    def orphan_checked(self, *, followed: bool) -> None: ...


class Entry(Struct, eq=False):
    """How far one turn is written; used by the journal's thread, but for the flag."""

    turn: JournaledTurn
    #: How many events the store has.
    stored_seq: int
    #: When the write began that last showed that the turn is this worker's, on `time.monotonic`.
    confirmed_at: float
    #: When the store was last seen to have all that there was.
    caught_up_at: float
    #: Records of steps, and the futures of those who wait for them.
    steps: deque[tuple[StepWrite, Future[None]]] = field(default_factory=deque)
    check_orphan: bool = False
    failed: bool = False
    #: Whether its readers have its end, though the store does not.
    is_out: bool = False
    dropped: bool = False

    def is_writable(self) -> bool:
        """Whether it has left the queue: before that there is nothing to write."""
        return self.turn.running or self.turn.terminal is not None

    def is_behind(self) -> bool:
        """Whether there are events that the store does not have."""
        return self.turn.log.last_seq > self.stored_seq

    def waits(self) -> bool:
        """Whether there is something to write, if only that nothing more comes."""
        ends = self.turn.terminal is not None or self.turn.leaving
        return self.is_behind() or ends or bool(self.steps)

    def step_written(self, step: StepWrite) -> None:
        """Wake what waits for a step's record, if it is the next one."""
        if self.steps and self.steps[0][0] is step:
            with suppress(InvalidStateError):  # the waiter has given up
                self.steps.popleft()[1].set_result(None)
