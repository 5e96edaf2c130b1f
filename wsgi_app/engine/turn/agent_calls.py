"""What a turn's agent calls: to send, to ask, and to run code in threads and on the loops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, BinaryIO, TypeVar

import msgspec

from wsgi_app.engine.runtime.callbacks import nothing
from wsgi_app.engine.runtime.switch_interval import switch_interval
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.runtime.waits import Waits
from wsgi_app.engine.turn.asking import Answered, Asking
from wsgi_app.engine.turn.call import Call
from wsgi_app.engine.turn.children import OpenChildren
from wsgi_app.engine.turn.clock import TurnClock
from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.turn.open_calls import OpenCalls
from wsgi_app.engine.turn.output import check_output
from wsgi_app.engine.turn.question import Questions
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.services import Services
from wsgi_app.engine.turn.steering import Steering
from wsgi_app.engine.turn.steps import unanswered_calls
from wsgi_app.engine.turn.turn_steps import Progress, TurnSteps
from wsgi_app.errors import TurnCancelled
from wsgi_app.events import (
    FileGiven,
    InputRequest,
    ToolCall,
    ToolResult,
    Usage,
    encode_event,
    encode_json,
)
from wsgi_app.store.base import Fence

T = TypeVar("T")

#: Beside AGENT_MAX_OUTPUT_BYTES, which a flood of one-byte tokens would not reach before it had
#: filled the memory: an event in the log takes about 300 bytes (measured, CPython 3.11).
MAX_EVENTS_PER_TURN = 250_000


class AgentCalls:
    """The engine's side of a `Turn` (TurnHost).

    Called from the turn's thread, its tools' threads and both loops; ``_lock`` guards the counts
    and the list of threads, and nothing is called while it is held.
    """

    def __init__(  # noqa: PLR0913 - the parts of a turn that its agent reaches, named by its one caller
        self,
        fence: Fence,
        request: TurnRequest,
        services: Services,
        *,
        log: EventLog,
        clock: TurnClock,
        questions: Questions,
        steering: Steering,
        count_tool: Callable[[ToolCall | ToolResult, str], None],
        progress: Progress | None = None,
        too_large: Callable[[], object],
        inside_tool: Callable[[str], AbstractContextManager[Any]] = lambda _: nullcontext(),
        answered: Answered | None = None,
    ) -> None:
        self.fence = fence
        self.ended = False
        self._lock = threading.Lock()
        self.steering = steering
        self.children = OpenChildren(self._lock)
        self.depth, self.path = 0, ""
        self.called_for: Call | None = None
        #: What is recorded, so that another worker can continue.
        self.steps = TurnSteps(fence, request, services, log=log, clock=clock, progress=progress)
        records = progress.records if progress else ()
        self.usage = records[-1].usage if records else Usage()
        #: See `Turn.keep`.
        self.kept: dict[str, Any] = {}
        for record in records:
            self.kept |= record.kept
        self._kept_bytes = 0
        self._request = request
        self._services = services
        self._log = log
        self._clock = clock
        self._count_tool, self._inside_tool = count_tool, inside_tool
        self._too_large = too_large
        self._waits = Waits()
        self._questions, self._answered = questions, answered
        self._asking: Asking | None = None  # made by the first question
        self._output_bytes = sum(len(one.json) for one in progress.events) if progress else 0
        self._calls = OpenCalls(self._lock, unanswered_calls(log.events()) if progress else {})
        self._threads: list[threading.Thread] = []

    @property
    def deadline(self) -> float:
        """See `Turn.deadline`."""
        return self._clock.deadline

    @property
    def max_steps(self) -> int:
        """See `Turn.max_steps`."""
        return self._services.settings.max_steps

    # -- sending

    def emit(self, item: Any) -> None:
        """See `Turn.emit`."""
        if self.ended:
            raise TurnCancelled
        output = check_output(item)
        if self._calls.says_nothing(output.event):
            return
        self._count_output(output.weight_bytes)
        if not self._log.append(output.event, output.json):
            raise TurnCancelled
        if isinstance(output.event, (ToolCall, ToolResult)):
            self._count_tool(output.event, "")
            self._services.journal.hurry(self.fence)
        elif self._request.adopted and self._log.last_seq == 1:
            self._services.journal.hurry(self.fence)  # its reader is on the other worker

    def count_nested(self, event: ToolCall | ToolResult, parent: str) -> None:
        """Count a tool of a sub-agent, whose event was sent, below the call that it works for."""
        self._count_tool(event, parent)
        self._services.journal.hurry(self.fence)

    def attach(self, name: str, content: bytes | BinaryIO, media_type: str) -> str:
        """See `Turn.attach`."""
        if self.ended:
            raise TurnCancelled
        file = self._services.files.keep(self.fence.key, name, content, media_type)
        event = FileGiven(file.id, file.name, file.media_type, file.size)
        if self._log.add(event, encode_event(event)) is None:
            raise TurnCancelled
        self._services.journal.hurry(self.fence)
        return file.id

    def keep(self, call_id: str, value: Any) -> None:
        """See `Turn.keep`; raises TypeError for what is no JSON."""
        encoded = encode_json(value)
        with self._lock:
            self._kept_bytes += len(encoded)
            if self._kept_bytes <= self._services.settings.max_history_bytes:
                self.kept[call_id] = msgspec.json.decode(encoded)

    def inside_tool(self, call_id: str) -> AbstractContextManager[Any]:
        """See `Turn.inside_tool`."""
        return self._inside_tool(call_id)

    def add_usage(self, usage: Usage) -> None:
        """See `Turn.add_usage`."""
        counts = msgspec.structs.astuple(usage)
        if not all(type(count) is int and count >= 0 for count in counts):
            raise TypeError("token counts are whole numbers from 0")
        if not usage.total_tokens:
            total = usage.input_tokens + usage.output_tokens
            usage = msgspec.structs.replace(usage, total_tokens=total)
        with self._lock:
            self.usage += usage

    def _count_output(self, weight_bytes: int) -> None:
        with self._lock:
            self._output_bytes += weight_bytes
            too_large = (
                self._output_bytes > self._services.settings.max_output_bytes
                or self._log.last_seq >= MAX_EVENTS_PER_TURN
            )
        if too_large:
            self._too_large()
            raise TurnCancelled

    # -- running code

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """See `Turn.on_cancel`."""
        self._waits.on_end(callback)

    def on_return(self, callback: Callable[[], None]) -> None:
        """See `Turn.on_return`."""
        self._waits.on_return(callback)

    def wait(self, future: Future[T]) -> T:
        """Wait for a future; raises TurnCancelled, and cancels it, when the turn ends first."""
        return self._waits.wait(future)

    def run_on_io_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """See `Turn.run_io`."""
        self._refuse_on_loop(coroutine)
        return self._waits.wait(self._services.io.submit(coroutine))

    def start_on_io_loop(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run host code on the io loop; the turn's end cancels it."""
        future = self._services.io.submit(coroutine)
        self._waits.add(future)
        return future

    def run_on_agents_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """See `Turn.run_async`."""
        self._refuse_on_loop(coroutine)
        return self._waits.wait(self._services.agents_loop.submit(coroutine))

    def run_agent_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run an asynchronous agent; returns once its task is over, which may ignore a cancel."""
        over = threading.Event()
        future = self._services.agents_loop.submit(coroutine, over.set)
        try:
            self._waits.wait(future)
        finally:
            over.wait()

    def call_in_app_context(self, function: Callable[[], T]) -> T:
        """See `Turn.call`."""
        with self._request.app_context():
            return function()

    def start_in_thread(self, function: Callable[[], T]) -> Future[T]:
        """See `Turn.start_thread`."""
        future: Future[T] = Future()
        context = copy_context()

        def run() -> None:
            with suppress(InvalidStateError):  # the waiter has given up
                try:
                    with switch_interval.competing():
                        result = context.run(self.call_in_app_context, function)
                except BaseException as error:  # noqa: BLE001 - all of them are the waiter's
                    future.set_exception(error)
                else:
                    future.set_result(result)
            if self.ended:  # it has run on, and may have written
                forget = partial(self._services.forget_if_gone, self.fence)
                context.run(self.call_in_app_context, forget)

        self._waits.add(future)
        thread = start_thread(run, "tool")
        with self._lock:
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)
        return future

    def run_in_thread(self, function: Callable[[], T], timeout_seconds: float) -> T:
        """See `Turn.run_in_thread`."""
        self._refuse_on_loop()
        future = self.start_in_thread(function)
        try:
            return self._waits.wait(future, timeout_seconds)
        except FutureTimeoutError:
            if future.done():  # it is the function's own
                raise
            raise TimeoutError(f"no result within {timeout_seconds:g} s") from None

    def has_threads(self) -> bool:
        """Whether a thread that the agent started still runs."""
        return any(thread.is_alive() for thread in self._threads)

    # -- going on where another worker has stopped

    @property
    def attempt(self) -> int:
        """See `Turn.attempt`."""
        return self.steps.attempt

    def start_record(
        self, data: Any, calls: Sequence[str], *, again: bool = False, notes: bool = False
    ) -> Future[None] | None:
        """See `TurnSteps.record`."""
        with self._lock:
            usage, kept = self.usage, dict(self.kept)
        return self.steps.record(data, calls, usage, kept, again=again, notes=notes)

    def wait_written(self, written: Future[None] | None) -> None:
        """Wait for a record; raises TurnCancelled if the turn ends first."""
        self._refuse_on_loop()
        if written is not None:
            self._waits.wait(written)
            if self.ended:
                raise TurnCancelled

    # -- asking

    def ask(self, make: Callable[[str], InputRequest]) -> Any:
        """See `Turn.ask`."""
        self._refuse_on_loop()
        return self._begin_asking().ask(make)

    async def ask_async(self, make: Callable[[str], InputRequest]) -> Any:
        """See `Turn.ask_async`."""
        return await self._begin_asking().ask_async(make)

    def _begin_asking(self) -> Asking:
        if self.ended:
            raise TurnCancelled
        with self._lock:
            if self._asking is None:
                hurry = partial(self._services.journal.hurry, self.fence)
                parts = self._questions, self._log, self._waits
                self._asking = Asking(*parts, hurry, self._answered)
            return self._asking

    # -- the end

    def agent_returned(self) -> None:
        """Have closed what was left open; there is nothing left to wake."""
        self._waits.agent_returned()

    def seal(self) -> None:
        """Refuse what the agent sends from now on; waits that break off do so by the turn's end."""
        self.ended = True
        self.steering.close()
        self._waits.seal()

    def end(self) -> None:
        """Free all that waits, and let go of the turn."""
        self._waits.end()
        self._too_large = nothing

    @property
    def is_suspended(self) -> bool:
        """Whether the agent was stopped, for another run of it to continue."""
        return self._asking is not None and self._asking.is_suspended

    def suspend(self) -> bool:
        """Stop the agent while its question waits, and refuse what it sends; see `Asking`."""
        if self._asking is None or self._waits.has_callbacks or not self._asking.suspend():
            return False
        self.ended = True
        self._waits.end()
        return True

    def carry(self, before: AgentCalls) -> None:
        """Go on with the counts of the agent's run before this one."""
        self.usage, self.kept = before.usage, before.kept
        self._kept_bytes = before._kept_bytes

    def _refuse_on_loop(self, coroutine: Coroutine[Any, Any, Any] | None = None) -> None:
        """Waiting on a loop would stop every turn that runs there, and never end."""
        if self._services.agents_loop.is_current() or self._services.io.is_current():
            if coroutine is not None:
                coroutine.close()
            raise RuntimeError("this would block the event loop: await ask_async, or the coroutine")
