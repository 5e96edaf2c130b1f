"""One execution of a turn: how it begins, and how it comes to exactly one end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from wsgi_app.engine.turn.agent_runs import AgentRuns, TurnParts
from wsgi_app.engine.turn.clock import TurnClock
from wsgi_app.engine.turn.event_log import EventLog, Wakeup
from wsgi_app.engine.turn.failures import AGENT_ERROR, TURN_TIMEOUT, is_elsewhere
from wsgi_app.engine.turn.history import answer_messages
from wsgi_app.engine.turn.question import Questions
from wsgi_app.engine.turn.queue import wait_in_queue
from wsgi_app.engine.turn.readers import Readers
from wsgi_app.engine.turn.report import TurnReport
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.services import Services
from wsgi_app.engine.turn.steering import Steering
from wsgi_app.engine.turn.turn_state import Stage, TurnState
from wsgi_app.engine.turn.turn_steps import Progress
from wsgi_app.errors import Fenced, StoreUnavailable
from wsgi_app.events import (
    Cancelled,
    CancelReason,
    Done,
    Error,
    Terminal,
)
from wsgi_app.store.base import Fence, Message, StartCount, mark_of

log = logging.getLogger("wsgi_app")


class TurnRun:
    """A turn from its first event to its terminal one.

    Touched by its own thread, by request threads (readers, cancel), by the io loop (time limits)
    and by the journal; its agent reaches it through `AgentCalls` alone. `TurnState` holds its
    stage, which only `move` changes; ``_lock`` guards the start, and nothing is called while it is
    held.
    """

    def __init__(
        self,
        fence: Fence,
        request: TurnRequest,
        services: Services,
        history: list[Message] | None,
        progress: Progress | None = None,
    ) -> None:
        """``history``: None while the turn waits; ``progress``: of other workers with it."""
        self.fence = fence
        self.mark = mark_of(fence.run_id)
        self.begun_at = time.time()
        self.log = EventLog(fence.turn, progress.events if progress else ())
        self.stored_before = len(progress.events) if progress else 0
        self.terminal: Terminal | None = None
        self.published = threading.Event()
        settings = services.settings
        self._request = request
        self._services = services
        self._history = history
        self._lock = threading.Lock()
        self._state = TurnState(self._lock)
        self._started = False
        self._queue_wakeup = Wakeup() if history is None else None
        self._clock = TurnClock(
            services.io,
            progress.seconds_left if progress else settings.turn_timeout_seconds,
            self._time_out,
            progress.records[-1].paused_seconds if progress and progress.records else 0.0,
        )
        orphan_seconds: float | None = settings.orphan_seconds
        if request.on_disconnect == "continue":
            orphan_seconds = None  # to its end
        elif request.orphan_seconds is not None:
            orphan_seconds = request.orphan_seconds
        self.readers = Readers(services.io, orphan_seconds, self._orphaned)
        self.questions = Questions(
            fence,
            services.store,
            services.io,
            timeout_seconds=settings.input_timeout_seconds,
            opened=self._question_opened,
            closed=self._question_closed,
            unanswered=progress.question if progress else None,
        )
        self.steering = Steering(
            fence,
            services.store,
            self.log,
            services.journal.hurry,
            request.agent or services.session_agents.known,
            goes_on=progress is not None,
        )
        self._report = TurnReport(fence, request, services.metrics, settings.log_format)
        own = self.log, self._clock, self.questions, self.steering, self._report
        self._agent = AgentRuns(
            TurnParts(fence, request, services, *own),
            progress,
            wait_in_queue=self._wait_in_queue,
            end=lambda terminal: self.move("ended", terminal),
            has_ended=lambda: self.ended,
        )
        self._agent.history = history or []
        if history is None:
            self._report.wait()
        else:
            self.move("running")

    @property
    def ended(self) -> bool:
        """Whether its end is decided."""
        return self._state.has_ended

    @property
    def ended_at(self) -> float:
        """When it ended, on `time.monotonic`; 0 before."""
        return self._state.ended_at

    @property
    def leaving(self) -> bool:
        """Whether its end is another worker's business, once its events are stored."""
        return self._state.is_leaving

    @property
    def running(self) -> bool:
        """Whether the store has let it run; before that it waits in the queue."""
        return self._state.has_run

    @property
    def rests(self) -> bool:
        """Whether its agent was stopped in a long wait."""
        return self._agent.rests

    # -- for request threads

    def start(self) -> None:
        """Start the turn's agent, once."""
        with self._lock:
            if self._started or self._state.ended_at:
                return
            self._started = True
        try:
            self._agent.agent.start(self._history)
        except Exception:
            log.exception("a turn's agent cannot be started")
            self.move("ended", AGENT_ERROR)

    def cancel(self, reason: CancelReason) -> bool:
        """End the turn with `cancelled`; False if it has ended already."""
        return self.move("ended", Cancelled(reason))

    def hand_over(self) -> bool:
        """Stop here, for another worker to continue; False if none can."""
        has_begun = self.running
        leaves = self._agent.calls.steps.can_be_resumed and self.move("leaving")
        if leaves and not has_begun:
            self._services.journal.leave(self.fence)  # there is nothing to write of it
        return leaves

    def end_with(self, error: Error) -> bool:
        """End the turn with this error; False if it has ended already."""
        return self.move("ended", error)

    def wait_ended(self, timeout_seconds: float) -> bool:
        """Wait until the terminal event is out; False when the time is over first."""
        return self.published.wait(timeout_seconds)

    def goes_on(self) -> bool:
        """Whether code of the agent still runs in one of the turn's threads."""
        return self._agent.agent.goes_on() or self._agent.calls.has_threads()

    @property
    def thread(self) -> threading.Thread | None:
        """The agent's thread, if it has had one."""
        return self._agent.agent.thread

    def wake_queued(self) -> None:
        """Ask now whether the turn may run: the one before it may have ended."""
        if self._queue_wakeup is not None:
            self._queue_wakeup.set()

    # -- for the journal (JournaledTurn)

    def closing_messages(self) -> Sequence[Message]:
        """What the turn adds to the history, even an unfinished one."""
        if self.terminal is None:
            return []
        return answer_messages(self.log.events(), self.terminal, self._agent.calls.kept)

    def publish(self) -> None:
        """Let the readers see the end; the store knows it, or does not answer."""
        if self.terminal is not None and not self.move("out"):
            # It was out before the store knew it: who waits for it there looks again.
            self._services.wake_waiting(self.fence.key)

    def fence_off(self, *, queued: bool = False) -> None:
        """End a turn whose session is deleted, or which another worker has ended or continues.

        A ``queued`` one may have ended here: the journal publishes that. Raises StoreUnavailable.
        """
        if is_elsewhere(self._services.store, self.fence):
            if self.move("ended", Cancelled("interrupted")) or not queued:
                self.move("elsewhere")
            return
        self.move("ended", Cancelled("deleted"))
        self.publish()

    def fail(self) -> None:
        """End the turn with an error that is safe to write, whatever its end was to be."""
        if not self.move("ended", AGENT_ERROR):
            self.terminal = AGENT_ERROR

    def leave(self) -> None:
        """Let another worker continue: all events are stored."""
        self.move("elsewhere")

    def take_answer(self) -> None:
        """Look for the question's answer, and for steers."""
        self.questions.take_answer()
        self.steering.take_posted()

    def orphan_checked(self, *, followed: bool) -> None:
        """End a turn that no reader on any worker waits for."""
        if followed:
            self.readers.wait_again()
        elif self.readers.count == 0 and not self.questions.waiting:
            self.cancel("disconnected")

    # -- the turn's thread

    def _wait_in_queue(self) -> list[Message] | None:
        claimed: list[Message] | CancelReason | None
        wakeup = self._queue_wakeup or Wakeup()
        try:
            claimed = wait_in_queue(self._services.store, self.fence, wakeup, lambda: self.ended)
        except Fenced:
            with suppress(StoreUnavailable):
                self.fence_off(queued=True)
            claimed = "deleted"
        if isinstance(claimed, str):
            self.cancel(claimed)
            return None
        if claimed is not None and self.move("running"):
            self._services.journal.hurry(self.fence)  # its readers wait for it
        return claimed

    # -- the stages

    def move(self, to: Stage, terminal: Terminal | None = None) -> bool:
        """Move the turn to a stage, with all that follows from it; the only way to change it.

        ``terminal``: the event that it ends with, None for success. Returns False, and does
        nothing, if the turn is beyond that stage: of several ends at a time one counts.
        """
        if not self._state.move(to):
            return False
        if to == "running":
            # 1. Its time begins, 2. it counts as one that runs.
            self._clock.start()
            self._report.run()
        elif to in ("ended", "leaving"):
            self._end(terminal)
        else:
            self._leave(to)
        return True

    def _end(self, terminal: Terminal | None) -> None:
        # 1. Nothing more gets in, and 2. the end is fixed, before anything wakes the agent.
        self.log.seal()
        self._agent.calls.seal()
        if not self._state.is_leaving:
            self.terminal = terminal or self._done()
        # 3. Whatever waits with the turn stops: its readers' clock, its question, its time, its
        # place.
        self.readers.close()
        self.questions.close()
        self._clock.close()
        self.wake_queued()
        # 4. The agent is woken, so that it stops.
        self._agent.end()
        # 5. The journal writes the end, and publishes it; or leaves the turn to another worker.
        self._services.journal.hurry(self.fence)

    def _leave(self, to: Stage) -> None:
        # 1. It is counted, unless the worker that ended it has done so, 2. its readers see the end
        # here or in the store, 3. and what waits for the end continues.
        if to == "elsewhere":
            self._report.leave()
            self.log.cut_off()
        elif self.terminal is not None:
            self._report_end(self.terminal)
            self.log.publish_terminal(self.terminal)
        self.published.set()
        if to == "out":
            self._services.wake_waiting(self.fence.key)
        # 4. A session for this turn alone is forgotten.
        if self._request.ephemeral and to == "out":
            self._services.forget_later(self.fence)

    def _report_end(self, terminal: Terminal) -> None:
        try:
            self._report.end(terminal, self.log, self.ended_at, self._agent.calls.usage)
        except Exception:
            log.exception("a turn's end cannot be counted")  # but it must come

    def _done(self) -> Done:
        key = self.fence.key
        return Done(self.log.reply(), key.session_id, str(self.fence.turn), self._agent.calls.usage)

    def _orphaned(self) -> None:
        if self.running:
            self._services.journal.check_orphan(self.fence)
        elif self._request.adopted:
            self.readers.wait_again()  # they are on other workers, and looked for once it runs
        else:
            self.cancel("disconnected")

    def _time_out(self) -> None:
        self.move("ended", TURN_TIMEOUT)

    def _question_opened(self) -> None:
        self.readers.pause()
        self._clock.pause()
        self._agent.wait()

    def _question_closed(self) -> None:
        self._agent.wait_no_more()
        self._clock.resume()
        self.readers.resume()
        self._services.journal.hurry(self.fence)


class BegunTurn(NamedTuple):
    """A turn to read; ``run`` is None for an earlier one that the request attaches to."""

    turn: int
    run: TurnRun | None
    #: See `TurnBegun.starts`.
    starts: StartCount | None = None
