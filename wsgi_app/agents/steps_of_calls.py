"""The calls of a framework's tools, where another worker continues the turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from wsgi_app.agents.shown_call import shown_call
from wsgi_app.agents.toolbox import AGAIN_SCHEMA, INTERRUPTED, OUTCOME_UNKNOWN, may_again
from wsgi_app.agents.tools import OnCrash
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.call import Call, inside_call

log = logging.getLogger("wsgi_app")

T = TypeVar("T")

#: How long a step waits at most until the user has seen its calls.
SHOWN_SECONDS: Final = 1.0


def checked_on_crash(on_crash: Mapping[str, OnCrash] | None) -> dict[str, OnCrash]:
    """What an author says of the tools, by their names; raises ValueError for other words."""
    given = dict(on_crash or {})
    wrong = {name: how for name, how in given.items() if how not in ("tell", "retry", "ask")}
    if wrong:
        raise ValueError(f"on_crash is tell, retry or ask: {wrong!r}")
    return given


@dataclass(frozen=True)
class ToolCallOf(Generic[T]):
    """A call of a framework's tool."""

    call_id: str
    #: The same in each attempt, and no other call's behind the same step.
    name: str
    tool: str
    arguments: Any
    #: What names it among all calls of the turn.
    parts: tuple[str | int, ...]
    execute: Callable[[], Awaitable[T]]
    #: A result as JSON, and back; raises TypeError for what is none.
    encode: Callable[[T], Any]
    decode: Callable[[Any], T]
    #: A result with this text for the model, in place of the real one.
    substitute: Callable[[str], T]
    #: What it raises that waits for the user, and begins again behind that.
    waits: tuple[type[BaseException], ...] = ()


class StepsOfCalls:
    """What is recorded of a turn's steps and calls. Used by tasks of the ``agents`` loop alone.

    A call whose step was recorded may have begun, one without a result be done or not; see `Tool`.
    """

    def __init__(self, turn: Turn, on_crash: Mapping[str, OnCrash], *, keeps: bool = True) -> None:
        """``keeps``: whether this turn is to be continued at all."""
        self._turn = turn
        self._on_crash = on_crash
        self._keeps = keeps and turn.records.are_kept
        #: What was recorded as steps, in order.
        self.steps: list[Any] = []
        #: What was recorded of the last one by `advance`.
        self.advances: list[Any] = []
        self._begun: set[str] = set()
        self._results: dict[str, Any] = {}
        for recorded in turn.records.recorded:
            self._take(recorded.data)
        #: Whether the user has seen a call; others wait for that.
        self._shown: dict[str, asyncio.Event] = {}
        #: Calls that an earlier attempt may have begun.
        self._in_flight = self._begun - self._results.keys()

    def _take(self, data: dict[str, Any]) -> None:
        if "step" in data:
            self.steps.append(data["step"])
            self._begun, self._results, self.advances = set(data["calls"]), {}, []
        elif "said" in data:
            self.advances.append(data["said"])
        elif "begun" in data:
            self._begun.add(data["begun"])
        elif "waits" in data:
            self._begun.discard(data["waits"])
        elif "result" in data:
            self._results[data["result"]] = data["value"]

    @property
    def keeps(self) -> bool:
        """Whether anything is recorded."""
        return self._keeps

    async def record(
        self, step: Any, calls: Sequence[str] = (), shown: Sequence[str] | None = None
    ) -> None:
        """Record what the agent continues from, and calls that run from here on.

        ``shown``: those of them whose results are said behind nothing that is said again.
        """
        if not self._keeps:
            return
        data = {"step": step, "calls": list(calls)}
        await self._turn.records.record_async(data, calls if shown is None else shown)
        self._begun, self._results, self._in_flight = set(calls), {}, set()

    async def advance(self, data: Any, shown: Sequence[str]) -> None:
        """Record that what was said so far counts, within the last step."""
        if self._keeps:
            await self._turn.records.record_async({"said": data}, shown)

    def note_shown(self, call_id: str) -> None:
        """The user has seen this call: what was said before it is in the turn."""
        self._shown.setdefault(call_id, asyncio.Event()).set()

    async def wait_shown(self, calls: Sequence[str]) -> None:
        """Wait until the user has seen all of these; a run continues meanwhile."""
        events = [self._shown.setdefault(call_id, asyncio.Event()) for call_id in calls]
        with suppress(asyncio.TimeoutError):  # nobody reports some calls, such as those of outputs
            await asyncio.wait_for(asyncio.gather(*(e.wait() for e in events)), SHOWN_SECONDS)

    def result_of(self, name: str) -> Any:
        """What an earlier attempt has recorded as a call's result; None for nothing."""
        return self._results.get(name)

    def was_begun(self, name: str) -> bool:
        """Whether an earlier attempt has begun a call."""
        return name in self._in_flight or name in self._results

    async def confirm(self) -> None:
        """See `TurnRecords.confirm`."""
        if self._keeps:
            await self._turn.records.confirm_async()

    async def run(self, call: ToolCallOf[T]) -> T:
        """Run a call, unless it was run already, or may have been; returns its result."""
        context = Call(self._turn.key_of(*call.parts), call.call_id, call.tool, self._turn.attempt)
        with inside_call(context):
            if not self._keeps:
                return await call.execute()
            if call.name in self._results:
                return call.decode(self._results[call.name])
            if not await self.may_begin(call.name, call.tool, call.arguments):
                return call.substitute(OUTCOME_UNKNOWN)
            await self.begin(call.name)
            try:
                result = await call.execute()
            except call.waits:
                await self.wait_again(call.name)
                raise
        self.note_result(call.name, lambda: call.encode(result))
        return result

    async def wait_again(self, name: str) -> None:
        """Record that a call waits for the user, and begins again behind that."""
        self._in_flight.discard(name)
        if self._keeps and name in self._begun:
            self._begun.discard(name)
            await self._turn.records.note({"waits": name})

    async def may_begin(self, name: str, tool: str, arguments: Any) -> bool:
        """Whether a call may run: one that was in flight is its tool's or the user's decision."""
        if name not in self._in_flight:
            return True
        self._in_flight.discard(name)
        on_crash = self._on_crash.get(tool, "tell")
        if on_crash == "ask":
            prompt = f"{INTERRUPTED} Run {shown_call(tool, arguments)} again?"
            return may_again(await self._turn.ask_async(prompt, AGAIN_SCHEMA))
        return on_crash == "retry"

    async def begin(self, name: str) -> None:
        """Record that a call begins, unless its step says so; raises TurnCancelled if not."""
        if not self._keeps:
            return
        if name in self._begun:
            await self._turn.records.confirm_async()
            return
        self._begun.add(name)
        await self._turn.records.note({"begun": name})

    def note_result(self, name: str, encode: Callable[[], Any]) -> None:
        """Record a call's result; one that is no JSON is as one in flight."""
        if not self._keeps:
            return
        try:
            self._turn.records.note_soon({"result": name, "value": encode()})
        except (TypeError, ValueError):
            log.warning("the result of call %s cannot be recorded", name)
