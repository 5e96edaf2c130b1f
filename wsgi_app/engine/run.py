"""One execution of a turn: how it begins, and how it comes to exactly one end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from wsgi_app.engine.agent_calls import AgentCalls
from wsgi_app.engine.agent_run import AgentRun
from wsgi_app.engine.clock import TurnClock
from wsgi_app.engine.ends import AGENT_ERROR, OUTPUT_TOO_LARGE, TURN_TIMEOUT, was_lost
from wsgi_app.engine.history import answer_messages
from wsgi_app.engine.log import EventLog, Wakeup
from wsgi_app.engine.order import Services, TurnOrder
from wsgi_app.engine.place import wait_for_place
from wsgi_app.engine.question import Questions
from wsgi_app.engine.readers import Readers
from wsgi_app.engine.report import TurnReport
from wsgi_app.events import (
    Cancelled,
    CancelReason,
    Done,
    Error,
    Terminal,
)
from wsgi_app.store.base import Fence, Message, StartCount

log = logging.getLogger("wsgi_app")


class TurnRun:
    """A turn from its first event to its terminal one.

    Touched by its own thread, by request threads (readers, cancel), by the io loop (time limits)
    and by the journal; its agent reaches it through `AgentCalls` alone. ``_lock`` guards the start
    and the decision to end; nothing is called while it is held.
    """

    def __init__(
        self, fence: Fence, order: TurnOrder, services: Services, history: list[Message] | None
    ) -> None:
        self.fence = fence
        self.begun_at = time.time()
        self.log = EventLog(fence.turn)
        self.ended = False
        self.ended_at = 0.0
        self.terminal: Terminal | None = None
        self.published = threading.Event()
        settings = services.settings
        self._order = order
        self._services = services
        self._history = history
        #: Whether the store lets it run; before that it waits for its place.
        self.running = history is not None
        self._lock = threading.Lock()
        self._started = False
        self._place_wakeup = Wakeup()
        self._clock = TurnClock(services.io, settings.turn_timeout_seconds, self._time_out)
        orphan_seconds = order.orphan_after(settings.orphan_seconds)
        self.readers = Readers(services.io, orphan_seconds, self._orphaned)
        self.questions = Questions(
            fence,
            services.store,
            services.io,
            timeout_seconds=settings.input_timeout_seconds,
            opened=self._question_opened,
            closed=self._question_closed,
        )
        self._report = TurnReport(fence, order, settings.host, settings.log_format)
        self._calls = AgentCalls(
            fence,
            order,
            services,
            log=self.log,
            clock=self._clock,
            questions=self.questions,
            count_tool=self._report.count_tool,
            inside_tool=self._report.inside_tool,
            too_large=lambda: self._end(OUTPUT_TOO_LARGE),
        )
        self._agent = AgentRun(
            fence,
            order,
            services,
            calls=self._calls,
            report=self._report,
            wait_for_place=self._wait_for_place,
            end=self._end,
            has_ended=lambda: self.ended,
        )
        if history is None:
            self._report.wait()
        else:
            self._report.run()
            self._clock.start()

    # -- for request threads

    def start(self) -> None:
        """Start the turn's agent, once."""
        with self._lock:
            if self._started or self.ended:
                return
            self._started = True
        try:
            self._agent.start(self._history)
        except Exception:
            log.exception("a turn's agent cannot be started")
            self._end(AGENT_ERROR)

    def cancel(self, reason: CancelReason) -> bool:
        """End the turn with `cancelled`; False if it has ended already."""
        return self._end(Cancelled(reason))

    def end_with(self, error: Error) -> bool:
        """End the turn with this error; False if it has ended already."""
        return self._end(error)

    def wait_ended(self, timeout_seconds: float) -> bool:
        """Wait until the terminal event is out; False when the time is over first."""
        return self.published.wait(timeout_seconds)

    def goes_on(self) -> bool:
        """Whether code of the agent still runs in one of the turn's threads."""
        return self._agent.goes_on() or self._calls.has_threads()

    @property
    def thread(self) -> threading.Thread | None:
        """The agent's thread, if it has had one."""
        return self._agent.thread

    def wake_queued(self) -> None:
        """Ask for the turn's place now: the one before it may have ended."""
        self._place_wakeup.set()

    # -- for the journal (JournaledTurn)

    def closing_messages(self) -> Sequence[Message]:
        """What the turn adds to the history, even an unfinished one."""
        if self.terminal is None:
            return []
        entries = self.log.read(0, self.log.last_seq)
        events = (entry.event for entry in entries)
        return answer_messages(events, self.terminal, self._calls.kept)

    def publish(self) -> None:
        """Let the readers see the end; the store knows it, or does not answer."""
        if self.terminal is not None:
            if not self.published.is_set():
                self._tell_end(self.terminal)
            self.log.publish_terminal(self.terminal)
            self.published.set()
            if self._order.ephemeral:
                self._services.ephemeral.add(self.fence)

    def fence_off(self) -> None:
        """End a turn whose session is deleted, or which was taken for lost.

        A lost one ends quietly: its end is in the store already. Raises StoreUnavailable.
        """
        if was_lost(self._services.store, self.fence):
            self._end(Cancelled("interrupted"))
            self._report.leave()  # whoever ended it has counted it
            self.log.cut_off()
            self.published.set()
            return
        self._end(Cancelled("deleted"))
        self.publish()

    def fail(self) -> None:
        """End the turn with an error that is safe to write, whatever its end was to be."""
        if not self._end(AGENT_ERROR):
            self.terminal = AGENT_ERROR

    def take_answer(self) -> None:
        """Look whether the question has its answer."""
        self.questions.take_answer()

    def orphan_checked(self, *, followed: bool) -> None:
        """End a turn that no reader on any worker waits for."""
        if followed:
            self.readers.wait_again()
        elif self.readers.count == 0 and not self.questions.waiting:
            self.cancel("disconnected")

    # -- the turn's thread

    def _wait_for_place(self) -> list[Message] | None:
        place = wait_for_place(
            self._services.store, self.fence, self._place_wakeup, lambda: self.ended
        )
        if isinstance(place, str):
            self.cancel(place)
            return None
        if place is not None:
            self._clock.start()
            self._report.run()
            self.running = True
            self._services.journal.hurry(self.fence)
        return place

    # -- the end

    def _end(self, terminal: Terminal | None) -> bool:
        """Decide the turn's end, once; None is success."""
        with self._lock:
            if self.ended:
                return False
            self.ended = True
        self.log.seal()
        self._calls.seal()  # before anything wakes the agent
        self.ended_at = time.monotonic()
        self.terminal = terminal or self._done()
        self.readers.close()
        self.questions.withdraw()
        self._clock.close()
        self._place_wakeup.set()
        self._calls.end()
        self._services.journal.hurry(self.fence)
        return True

    def _tell_end(self, terminal: Terminal) -> None:
        try:
            self._report.end(terminal, self.log, self.ended_at, self._calls.usage)
        except Exception:
            log.exception("a turn's end cannot be counted")  # but it must come

    def _done(self) -> Done:
        key = self.fence.key
        return Done(self.log.reply(), key.session_id, str(self.fence.turn), self._calls.usage)

    def _orphaned(self) -> None:
        if self.running:
            self._services.journal.check_orphan(self.fence)
        else:
            self.cancel("disconnected")

    def _time_out(self) -> None:
        self._end(TURN_TIMEOUT)

    def _question_opened(self) -> None:
        self.readers.pause()
        self._clock.pause()

    def _question_closed(self) -> None:
        self._clock.resume()
        self.readers.resume()
        self._services.journal.hurry(self.fence)


class BegunTurn(NamedTuple):
    """A turn to read; ``run`` is None for an earlier one that the request attaches to."""

    turn: int
    run: TurnRun | None
    #: See `TurnBegun.starts`.
    starts: StartCount | None = None
