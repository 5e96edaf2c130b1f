"""The steps of a run of Pydantic AI, so that another worker can continue it.

Its messages are recorded up to each answer of the model that calls tools, before they run. A run
that begins with such messages, and no prompt, calls the tools of the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from copy import copy
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    RunContext,
    RunUsage,
    ToolCallPart,
)
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ToolFailed
from pydantic_ai.messages import ToolReturn
from pydantic_core import PydanticSerializationError, to_jsonable_python

from wsgi_app.agents.steps_of_calls import StepsOfCalls, ToolCallOf
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.events import ToolResult, Usage

_RETURNS: TypeAdapter[ToolReturn[Any]] = TypeAdapter(ToolReturn)


class RunSteps:
    """The steps of one run. Used by tasks of the ``agents`` loop alone."""

    def __init__(self, turn: Turn, calls: StepsOfCalls) -> None:
        self._turn = turn
        self._calls = calls
        #: What another worker has left: its messages up to an answer that calls tools.
        self.messages: list[ModelMessage] = []
        for step in calls.steps:
            new = ModelMessagesTypeAdapter.validate_python(step["messages"])
            self.messages = [*self.messages[: step["behind"]], *new]
        #: How often models were asked before.
        self.requests: int = calls.steps[-1]["requests"] if calls.steps else 0
        #: All that is recorded.
        self._known = list(self.messages)
        self._counted = RunUsage(requests=self.requests)
        self._lock = asyncio.Lock()

    def shown_results(self) -> set[str]:
        """The calls of the last step whose results the user has seen."""
        if not self.messages:
            return set()
        calls = {part.tool_call_id for part in _answer_of(self.messages).tool_calls}
        return {
            event.call_id
            for event in self._turn.records.events
            if isinstance(event, ToolResult) and event.call_id in calls
        }

    def note_shown(self, call_id: str) -> None:
        """See `StepsOfCalls.note_shown`."""
        self._calls.note_shown(call_id)

    def count(self, usage: RunUsage) -> None:
        """Add what is new in a run's counts to the turn's."""
        seen, self._counted = self._counted, copy(usage)
        self._turn.add_usage(
            Usage(
                usage.input_tokens - seen.input_tokens,
                usage.output_tokens - seen.output_tokens,
                usage.total_tokens - seen.total_tokens,
            )
        )

    async def begin(self, ctx: RunContext[Any], waiting: Collection[str] = ()) -> None:
        """Record the run up to the answer whose calls run now; ``waiting``: those that do not."""
        if not self._calls.keeps:
            return
        async with self._lock:
            messages = _up_to_answer(ctx.messages)
            if len(messages) != len(self._known):
                await self._record(messages, ctx.usage)
            for call_id in waiting:
                await self._calls.wait_again(call_id)

    async def _record(self, messages: Sequence[ModelMessage], usage: RunUsage) -> None:
        calls = [part.tool_call_id for part in _answer_of(messages).tool_calls]
        await self._calls.wait_shown(calls)
        self.count(usage)
        pairs = enumerate(zip(messages, self._known, strict=False))
        behind = next((at for at, (new, old) in pairs if new is not old), len(self._known))
        behind = min(behind, len(messages))
        step = {
            "behind": behind,
            "messages": ModelMessagesTypeAdapter.dump_python(list(messages[behind:]), mode="json"),
            "requests": usage.requests,
        }
        self._known = list(messages)
        await self._calls.record(step, calls)

    async def run(
        self, ctx: RunContext[Any], call: ToolCallPart, execute: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Run a call of the run's."""
        await self.begin(ctx)
        return await self._calls.run(
            ToolCallOf(
                call_id=call.tool_call_id,
                name=call.tool_call_id,
                tool=call.tool_name,
                arguments=parse_object(call.args_as_json_str()) or {},
                parts=(len(self._known), call.tool_call_id),
                execute=execute,
                encode=_encode,
                decode=_decode,
                substitute=_fail,
                waits=(ApprovalRequired, CallDeferred),
            )
        )


def _up_to_answer(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """All messages up to the last answer of a model."""
    ends = [at for at, one in enumerate(messages, 1) if isinstance(one, ModelResponse)]
    return list(messages[: ends[-1]]) if ends else []


def _answer_of(messages: Sequence[ModelMessage]) -> ModelResponse:
    answer = messages[-1] if messages else None
    return answer if isinstance(answer, ModelResponse) else ModelResponse(parts=[])


def _encode(result: Any) -> dict[str, Any]:
    try:
        if isinstance(result, ToolReturn):
            return {"return": _RETURNS.dump_python(result, mode="json")}
        return {"value": to_jsonable_python(result)}
    except PydanticSerializationError as error:
        raise TypeError(str(error)) from error


def _decode(recorded: dict[str, Any]) -> Any:
    if "return" in recorded:
        return _RETURNS.validate_python(recorded["return"])
    return recorded["value"]


def _fail(text: str) -> Any:
    raise ToolFailed(text)
