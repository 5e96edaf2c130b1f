"""A sub-agent of a turn: what its agent calls, which nests all that it sends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from msgspec import UNSET, structs

from wsgi_app.engine.turn.call import Call, find_call
from wsgi_app.engine.turn.output import check_name, check_output
from wsgi_app.errors import TurnError
from wsgi_app.events import Handoff, InputRequest, Nested, Status, Token, ToolCall, ToolResult

if TYPE_CHECKING:
    from wsgi_app.engine.turn.steps import RecordedStep
    from wsgi_app.engine.turn.turn_host import TurnHost
    from wsgi_app.engine.turn.turn_records import Steps
    from wsgi_app.events import AgentEvent, AnyEvent, Usage

T = TypeVar("T")

#: How deep sub-agents may have sub-agents.
MAX_CHILD_DEPTH: Final = 8
#: Of what a sub-agent has said, so much is the result of its call.
MAX_RESULT_CHARS: Final = 65_536


class ChildHost:
    """The engine's side of a sub-agent's `Turn` (TurnHost); the turn's own does the work.

    Used from the same threads and loops as that; what it changes itself, ``_lock`` guards. Nothing
    of it is recorded: when another worker continues the turn, its call runs again.
    """

    def __init__(
        self, above: TurnHost, agent: str, call_id: str, given: object, called_for: Call | None
    ) -> None:
        """``call_id``: as ``above`` names the call that it works for; '' for one of its own.

        ``given``: the input that its own call shows. ``called_for``: the call that it is made in.
        Raises TurnError where it would be too deep, or one too many.
        """
        self.depth = above.depth + 1
        if self.depth > MAX_CHILD_DEPTH:
            raise TurnError(f"Sub-agents are at most {MAX_CHILD_DEPTH} deep.")
        #: Who speaks, first the one that it was made for.
        self.agent = self._name = check_name(agent)
        self.called_for = called_for
        self.fence = above.fence
        self.children = above.children
        self.steering = _NoSteering()
        self.steps: Steps = _NoSteps()
        #: A turn of its own attempts none.
        self.attempt = 1
        self._above = above
        self._lock = threading.Lock()
        self._reply: list[str] = []
        self._reply_chars = 0
        self._on_return: list[Callable[[], None]] = []
        number = self.children.open()
        try:
            self._own_call = "" if call_id else _own_id(number, above.attempt)
            self.parent = check_name(above.path + (call_id or self._own_call))
            if self._own_call:
                above.emit(ToolCall(self._name, self._own_call, {"input": given}))
        except BaseException:
            self.children.close()
            raise

    @property
    def path(self) -> str:
        """What the ids of its calls begin with, so that no other agent has them."""
        return f"{self.parent}."

    def close(self, *, failed: bool) -> None:
        """End it, with the result of its own call."""
        with self._lock:
            callbacks, self._on_return = self._on_return, []
            text = "".join(self._reply)[:MAX_RESULT_CHARS]
        try:
            for callback in callbacks:
                callback()
            if self._own_call and not self._above.ended:
                output = {"error": "The sub-agent failed."} if failed else text
                status = "error" if failed else "complete"
                self._above.emit(ToolResult(self._name, self._own_call, output, status))  # type: ignore[arg-type] # one of the two
        finally:
            self.children.close()

    # -- sending

    def emit(self, item: Any) -> None:
        """Send as the sub-agent's."""
        event: AgentEvent
        if isinstance(item, Nested):  # of its own sub-agents, who know their place
            self._above.emit(item)
            return
        event = check_output(item).event  # type: ignore[assignment] # of these kinds alone
        if isinstance(event, Handoff):
            self.agent, event = event.agent, Status(event.content)
        if isinstance(event, (ToolCall, ToolResult)):
            event = structs.replace(event, call_id=self.path + event.call_id)
        elif isinstance(event, Token):
            self._keep(event.content)
        self._above.emit(Nested(self.parent, self.agent, event))
        if isinstance(event, (ToolCall, ToolResult)):
            self._above.count_nested(event, self.parent)

    def count_nested(self, event: ToolCall | ToolResult, parent: str) -> None:
        """See `AgentCalls.count_nested`."""
        self._above.count_nested(event, parent)

    def _keep(self, text: str) -> None:
        if not self._own_call:
            return
        with self._lock:
            if self._reply_chars < MAX_RESULT_CHARS:
                self._reply.append(text)
                self._reply_chars += len(text)

    def keep(self, call_id: str, value: Any) -> None:
        """Keep nothing: calls of a sub-agent are not in the history."""

    def ask(self, make: Callable[[str], InputRequest]) -> Any:
        """Ask the user, who sees whose call it is about."""
        return self._above.ask(self._placed(make))

    async def ask_async(self, make: Callable[[str], InputRequest]) -> Any:
        """Ask like `ask`, from a coroutine."""
        return await self._above.ask_async(self._placed(make))

    def _placed(self, make: Callable[[str], InputRequest]) -> Callable[[str], InputRequest]:
        def placed(request_id: str) -> InputRequest:
            question = make(request_id)
            if question.schema is UNSET or "x-call-id" not in question.schema:
                return question
            call_id = f"{self.parent}.{question.schema['x-call-id']}"
            return structs.replace(question, schema={**question.schema, "x-call-id": call_id})

        return placed

    # -- what the turn's own does

    @property
    def ended(self) -> bool:
        """See `Turn.cancelled`."""
        return self._above.ended

    @property
    def deadline(self) -> float:
        """See `Turn.deadline`."""
        return self._above.deadline

    @property
    def max_steps(self) -> int:
        """See `Turn.max_steps`."""
        return self._above.max_steps

    def attach(self, name: str, content: bytes | BinaryIO, media_type: str) -> str:
        """See `Turn.attach`."""
        return self._above.attach(name, content, media_type)

    def inside_tool(self, call_id: str) -> AbstractContextManager[Any]:
        """See `Turn.inside_tool`."""
        return self._above.inside_tool(self.path + call_id)

    def add_usage(self, usage: Usage) -> None:
        """See `Turn.add_usage`."""
        self._above.add_usage(usage)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """See `Turn.on_cancel`."""
        self._above.on_cancel(callback)

    def on_return(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` run when the sub-agent comes to its end."""
        with self._lock:
            self._on_return.append(callback)

    def run_on_io_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """See `Turn.run_io`."""
        return self._above.run_on_io_loop(coroutine)

    def run_on_agents_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """See `Turn.run_async`."""
        return self._above.run_on_agents_loop(coroutine)

    def call_in_app_context(self, function: Callable[[], T]) -> T:
        """See `Turn.call`."""
        return self._above.call_in_app_context(function)

    def start_in_thread(self, function: Callable[[], T]) -> Future[T]:
        """See `Turn.start_thread`."""
        return self._above.start_in_thread(function)

    def run_in_thread(self, function: Callable[[], T], timeout_seconds: float) -> T:
        """See `Turn.run_in_thread`."""
        return self._above.run_in_thread(function, timeout_seconds)

    def start_record(
        self, data: Any, calls: Sequence[str], *, again: bool = False, notes: bool = False
    ) -> Future[None] | None:
        """Record nothing."""
        del data, calls, again, notes
        return None

    def wait_written(self, written: Future[None] | None) -> None:
        """Wait for nothing."""
        self._above.wait_written(written)


def call_within(host: TurnHost) -> str:
    """The id of the call of a tool of its agent that the calling code runs for; '' for none."""
    call = find_call()
    return "" if call is None or call is host.called_for else call.call_id


@contextmanager
def open_child(
    above: TurnHost, agent: str, call_id: str | None, given: object
) -> Iterator[ChildHost]:
    """Have a sub-agent for the block, see `Turn.child`."""
    host = ChildHost(above, agent, call_id or call_within(above), given, find_call())
    failed = True
    try:
        yield host
        failed = False
    finally:
        host.close(failed=failed)


def _own_id(number: int, attempt: int) -> str:
    # Not the id that the worker before used: its events may still count.
    return f"child_{number}" if attempt == 1 else f"child_{attempt}_{number}"


class _NoSteering:
    """Steers go to the turn's own agent."""

    waits = False

    def take(self, *, last: bool = False) -> list[str]:
        del last
        return []

    def may_end(self) -> bool:
        return True


class _NoSteps:
    """Nothing is recorded of a sub-agent."""

    is_recorded = False

    def __init__(self) -> None:
        self.recorded: list[RecordedStep] = []
        self.question: InputRequest | None = None
        self.events: list[AnyEvent] = []
        self.stands_still = False

    def is_asked_by(self, call_id: str) -> bool:
        del call_id
        return False

    def confirm(self) -> Future[None] | None:
        return None
