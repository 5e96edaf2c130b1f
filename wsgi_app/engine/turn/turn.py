"""What an agent sees of its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import msgspec
from msgspec import UNSET

from wsgi_app.engine.runtime.owner import current_owner, owned_by
from wsgi_app.engine.runtime.workdir import Workdirs
from wsgi_app.engine.turn.call import Call, call_key, inside_call
from wsgi_app.engine.turn.child import call_within, open_child
from wsgi_app.engine.turn.client_tools import request_of, results_of
from wsgi_app.engine.turn.history import for_people, take_kept
from wsgi_app.engine.turn.old_names import OldTurnNames
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.turn_host import TurnHost
from wsgi_app.engine.turn.turn_records import TurnRecords
from wsgi_app.errors import TurnCancelled
from wsgi_app.events import ClientTool, InputRequest, Status, encode_json

if TYPE_CHECKING:
    from wsgi_app.attachments import Attachment
    from wsgi_app.events import AnyEvent, RequestedCall, ToolResult, Usage
    from wsgi_app.store.base import Message

T = TypeVar("T")


class Turn(OldTurnNames):
    """One user message, and the means to answer it; handed to the agent.

    May be used from any thread or task of the agent: what it changes is guarded by its host.
    """

    def __init__(  # noqa: PLR0913 - what a turn is made of, by its one caller
        self,
        host: TurnHost,
        message: str,
        history: list[Message],
        metadata: dict[str, Any],
        workdirs: Workdirs,
        *,
        ephemeral: bool = False,
        replaces: bool = False,
        client_tools: tuple[ClientTool, ...] = (),
        attachments: tuple[Attachment, ...] = (),
    ) -> None:
        self._host = host
        #: The user's message.
        self.message = message
        #: The chat messages before this one, oldest first; the agent's own copy.
        self.history = history
        #: The object that the request sent along, ``{}`` if none.
        self.metadata = metadata
        self.session_id = host.fence.key.session_id
        self.tenant = host.fence.key.tenant
        #: The turn's number in its session, as the clients write it.
        self.turn_id = str(host.fence.turn)
        #: The session's name among those of all hosts; its ``thread_id`` is for databases.
        self.session = SessionName(workdirs.namespace, self.tenant, self.session_id)
        #: Whether the client keeps the conversation: an agent should keep nothing of it.
        self.ephemeral = ephemeral
        #: Whether the turn replaces the session's newest exchange, which is not in ``history``.
        self.replaces = replaces
        #: Images and files that came with the message; ``history`` has none of them.
        self.attachments = attachments
        #: Tools that this turn's client runs, see `call_client`.
        self.client_tools = client_tools
        #: For agents that continue themselves where another worker has stopped.
        self.records = TurnRecords(host)
        self._workdirs = workdirs
        self._kept = take_kept(history)
        self._steps: set[str] = set()
        #: Whether `emit` has sent more than a status. Set by any thread, never unset.
        self.has_output = False

    @property
    def cancelled(self) -> bool:
        """Whether the turn has ended, for whatever reason: nothing that it yields is read."""
        return self._host.ended

    @property
    def deadline(self) -> float:
        """When the turn is ended with ``turn_timeout``, on the clock of `time.monotonic`."""
        return self._host.deadline

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._host.deadline - time.monotonic())

    @property
    def max_steps(self) -> int:
        """AGENT_MAX_STEPS: how many steps an agent may take that asks a model repeatedly."""
        return self._host.max_steps

    @property
    def workdir(self) -> Path:
        """This tenant's directory, made on first use."""
        return self._workdirs.make(self.tenant)

    def check(self) -> None:
        """Raise TurnCancelled if the turn has ended; call it in long loops."""
        if self._host.ended:
            raise TurnCancelled

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` run, in a thread of its own, if the turn ends while the agent runs.

        It runs at once if the turn has ended already. Use it to close what blocks the agent.
        """
        self._host.on_cancel(callback)

    def on_return(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` run when the agent comes to its own end, before the turn's.

        Use it to close what the agent has left open. It must not wait for anything.
        """
        self._host.on_return(callback)

    @property
    def plain_history(self) -> list[dict[str, Any]]:
        """``history`` as role and content alone, for frameworks that keep calls in their own form.

        A new list each time.
        """
        return [{"role": m["role"], "content": m["content"]} for m in for_people(self.history)]

    def emit(self, item: str | AnyEvent) -> None:
        """Send a token (a str) or an event now, as ``yield`` does.

        Raises TurnCancelled once the turn has ended, TurnError for what is neither.
        """
        self._host.emit(item)
        self.has_output = self.has_output or not isinstance(item, Status)

    @contextmanager
    def child(
        self,
        agent: str,
        call_id: str | None = None,
        *,
        message: str | None = None,
        current: bool = True,
    ) -> Iterator[Turn]:
        """Give a sub-agent of this name a turn of its own for the block: all it sends is nested.

        It works for the call ``call_id``, or for that of the tool that the block runs in, else for
        one that the turn shows, whose result is what it said. Its turn has ``message``, this one's
        if not given, and no history, and is `current_turn` in the block, unless ``current`` is
        False. Raises TurnError for the ninth level, and for more than 64 sub-agents at once.
        """
        given = self.message if message is None else message
        with open_child(self._host, agent, call_id, given) as host:
            self.has_output = True
            turn = Turn(host, given, [], self.metadata, self._workdirs, ephemeral=True)
            with owned_by(turn) if current else nullcontext():
                yield turn

    @property
    def inner_call(self) -> str:
        """The id of the call of its agent's tool that this code runs for; '' for none."""
        return call_within(self._host)

    def attach(
        self, name: str, content: bytes | BinaryIO, media_type: str = "application/octet-stream"
    ) -> str:
        """Give the user a file, kept for the session and announced by an event; returns its id.

        ``content``: its bytes, or a file to read them from. Raises RuntimeError where the host
        keeps no files, TurnError for one that is too large, OSError where it cannot be written.
        """
        return self._host.attach(name, content, media_type)

    def keep(self, call_id: str, value: Any) -> None:
        """Keep a JSON value with one of this turn's calls, for this session's later turns.

        Such as a signature that the provider wants back with the call. Clients never see it. What
        is too large for the history is dropped.
        """
        self._host.keep(call_id, value)

    def kept(self, call_id: str) -> Any:
        """What was kept with a call in ``history``; None if nothing was."""
        return self._kept.get(call_id)

    def inside_tool(self, call_id: str) -> AbstractContextManager[Any]:
        """Have what is traced in the block hang below the span of this tool's call.

        For what runs tools and has sent their `ToolCall`; does nothing without OpenTelemetry.
        """
        return self._host.inside_tool(call_id)

    def add_usage(self, usage: Usage) -> None:
        """Add to the token counts of the turn's ``done`` event."""
        self._host.add_usage(usage)

    def run_io(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run host code on the worker's ``io`` loop and wait; never users' code.

        Raises TurnCancelled when the turn ends meanwhile, which cancels the task.
        """
        return self._host.run_on_io_loop(coroutine)

    def run_async(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's ``agents`` loop and wait.

        Raises TurnCancelled when the turn ends meanwhile, which cancels the task.
        """
        return self._host.run_on_agents_loop(coroutine)

    def call(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a Flask app context of its own.

        What it opened there, such as a database session, is returned when it returns, not only
        at the end of the turn.
        """
        return self._host.call_in_app_context(function)

    def start_thread(self, function: Callable[[], T]) -> Future[T]:
        """Call ``function`` in a thread and an app context of its own; the future has its outcome.

        It gets the caller's context variables. The future is cancelled when the turn ends; a
        function that continues then counts as abandoned.
        """
        return self._host.start_in_thread(function)

    def run_in_thread(self, function: Callable[[], T], timeout_seconds: float) -> T:
        """Call ``function`` like `start_thread` and wait.

        Raises TimeoutError when the time is over, while the function may continue,
        and TurnCancelled when the turn ends meanwhile.
        """
        return self._host.run_in_thread(function, timeout_seconds)

    @property
    def attempt(self) -> int:
        """Which worker runs the turn, in their order from 1: another continues if one dies."""
        return self._host.attempt

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Call ``function``, once for all attempts of the turn: its result is recorded.

        When the worker dies and another one runs the agent again, it gets what is recorded under
        the name, which must be another for each step. All that was said before is withdrawn then,
        and what happens outside of steps happens again; so does a step whose result was not yet
        recorded, and `current_call` has the same key then. Its result is JSON. Raises ValueError
        for a name that was used, TypeError for what is no JSON.
        """
        if name in self._steps:
            raise ValueError(f"two steps have the name {name!r}")
        self._steps.add(name)
        for recorded in self.records.recorded:
            if isinstance(recorded.data, dict) and recorded.data.get("step") == name:
                return recorded.data["value"]
        self.records.confirm()
        with inside_call(Call(self.key_of("step", name), "", name, self.attempt)):
            value = msgspec.json.decode(encode_json(function()))
        self.records.record({"step": name, "value": value}, again=True)
        return value

    def steered(self, *, last: bool = False) -> list[str]:
        """What the user has said to the turn since the last call; ``last``: it takes no more."""
        return self._host.steering.take(last=last)

    @property
    def is_steered(self) -> bool:
        """Whether `steered` has something to return."""
        return self._host.steering.waits

    def may_end(self) -> bool:
        """Whether the agent may come to its end: nothing has been said that it has not taken.

        If so the turn takes nothing more. Ask, and continue `steered` while it is False: then
        nothing that is said to the turn stays without an answer.
        """
        return self._host.steering.may_end()

    def key_of(self, *parts: str | int) -> str:
        """A key for something that this turn does; the same in each of its attempts."""
        path = (self._host.path, *parts) if self._host.path else parts
        return call_key(self._host.fence.mark, self.turn_id, *path)

    def ask(self, prompt: str, schema: dict[str, Any] | None = None) -> Any:
        """Ask the user and wait for the answer, any JSON value.

        Raises TurnCancelled when the turn ends meanwhile, and TurnError when no answer comes
        within ``AGENT_INPUT_TIMEOUT_SECONDS``. The wait does not count as turn time. A question
        that comes while another one waits, from another thread, is asked after it.
        """
        return self._host.ask(_question(prompt, schema))

    async def ask_async(self, prompt: str, schema: dict[str, Any] | None = None) -> Any:
        """Ask like `ask`, from a coroutine."""
        return await self._host.ask_async(_question(prompt, schema))

    def call_client(self, calls: Sequence[RequestedCall]) -> list[ToolResult]:
        """Have the client run some of its ``client_tools``; sends the results' events.

        Waits as `ask` does. A call that the client leaves out has an error as its result.
        """
        answer = self._host.ask(lambda request_id: request_of(request_id, calls))
        return self._take_results(calls, answer)

    async def call_client_async(self, calls: Sequence[RequestedCall]) -> list[ToolResult]:
        """Call like `call_client`, from a coroutine."""
        answer = self._host.ask_async(lambda request_id: request_of(request_id, calls))
        return self._take_results(calls, await answer)

    def _take_results(self, calls: Sequence[RequestedCall], answer: Any) -> list[ToolResult]:
        for result in (results := results_of(calls, answer)):
            self.emit(result)
        return results


def _question(prompt: str, schema: dict[str, Any] | None) -> Callable[[str], InputRequest]:
    return lambda request_id: InputRequest(request_id, prompt, UNSET if schema is None else schema)


def current_turn() -> Turn:
    """The turn that the calling code answers.

    For code that gets no `Turn`, such as a framework's tool: threads and tasks started with the
    agent's context variables find it too. Raises LookupError outside of agents.
    """
    turn = current_owner.get()
    if isinstance(turn, Turn):
        return turn
    raise LookupError("this code belongs to no turn")


def enter_turn(turn: Turn) -> None:
    """Make ``turn`` the `current_turn` of the caller's context, which must be the turn's own."""
    current_owner.set(turn)


def leave_turn() -> None:
    """Make the caller's context that of no turn: what runs in it outlives the one that began it."""
    current_owner.set(None)


#: Takes its turn, and returns or yields strings and events; see docs/writing-agents.md.
Agent = Callable[[Turn], Any]
