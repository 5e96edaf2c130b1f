"""The steps of a run of the Agents SDK, so that another worker can continue it.

What a model was asked and has answered is recorded before the tools that it calls run; a run that
waits for approvals, as the SDK's own state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

from agents import (
    Agent,
    FunctionTool,
    ItemHelpers,
    ModelResponse,
    RunContextWrapper,
    RunState,
    TResponseInputItem,
)
from agents.tool_context import ToolContext
from msgspec.structs import astuple
from pydantic_core import to_jsonable_python

from wsgi_app.agents.openai_agents_steering import SdkSteering, Words
from wsgi_app.agents.steps_of_calls import StepsOfCalls
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.agents.toolbox import OUTCOME_UNKNOWN
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.call import Call, enter_call, inside_call
from wsgi_app.errors import CannotGoOn
from wsgi_app.events import ToolResult, Usage

UNKNOWN_AGENT: Final = (
    "The agent that the turn was handed over to is not among the agent's handoffs."
)


class SdkSteps:
    """The steps of one turn's run. Used by tasks of the ``agents`` loop alone."""

    def __init__(self, turn: Turn, calls: StepsOfCalls, steering: SdkSteering) -> None:
        self._turn = turn
        self._calls = calls
        self._steering = steering
        self._clients = {tool.name for tool in turn.client_tools}
        self._items: list[Any] = []
        self._state: dict[str, Any] | None = None
        self._agent_name = ""
        #: What of a run that waits is counted in the turn.
        self.counted = Usage()
        #: How many answers of models were recorded before, and are by now.
        self.answers_before = 0
        for step in calls.steps:
            self._take(step)
        self._answers = steering.answers = self.answers_before
        self._known = list(self._items)
        self._asked: list[Any] = []
        self._called: list[str] = []
        self._is_recorded = True
        self._lock = asyncio.Lock()

    def _take(self, step: dict[str, Any]) -> None:
        self._state = step.get("state")
        self._agent_name, self.answers_before = step["agent"], step["answers"]
        self.counted = Usage(*step["counted"])
        self._items = [*self._items[: step["behind"]], *step["items"]]
        # The SDK's state is without the user's words, which are among the items.
        self._steering.words = [Words(*one) for one in step["said"]] if self._state else []

    @property
    def are_left(self) -> bool:
        """Whether another worker has left something to continue."""
        return bool(self._calls.steps)

    # -- recording

    def note_asked(self, asked: Sequence[Any]) -> None:
        """A model is asked with these items."""
        self._asked = list(asked)

    def note_answer(self, agent: Agent[Any], answer: ModelResponse) -> None:
        """It has answered."""
        given = [*self._asked, *answer.to_input_items()]
        self._items = to_jsonable_python(given, fallback=str)
        self._called = [item["call_id"] for item in _calls_of(answer.to_input_items())]
        self._agent_name, self._is_recorded = agent.name, False
        self._answers += 1
        self._steering.answers = self._answers

    def enter(self, context: ToolContext[Any]) -> None:
        """Make a tool's call the `current_call` of the task that runs it."""
        enter_call(self._call(context.tool_call_id, context.tool_name))

    def note_shown(self, call_id: str) -> None:
        """See `StepsOfCalls.note_shown`."""
        self._calls.note_shown(call_id)

    async def begin(self, call_id: str) -> None:
        """Record the step that a tool's call is of, and that it begins."""
        async with self._lock:
            if not self._is_recorded:
                await self._calls.wait_shown(self._called)
                await self._record(None, self._called)
        await self._calls.begin(call_id)

    def note_result(self, context: ToolContext[Any], result: object) -> None:
        """Record what a tool gives, as models get it."""
        call = context.tool_call
        self._calls.note_result(
            context.tool_call_id,
            lambda: ItemHelpers.tool_call_output_item(call, result)["output"] if call else result,
        )

    async def wait_for_approvals(self, state: RunState[Any], counted: Usage) -> None:
        """Record a run before its user is asked; ``counted``: what the turn has counted of it."""
        if self._calls.keeps:
            self.counted = counted
            await self._record(state.to_json(context_serializer=lambda _: {}), [])

    async def _record(self, state: dict[str, Any] | None, calls: list[str]) -> None:
        pairs = enumerate(zip(self._items, self._known, strict=False))
        shorter = min(len(self._items), len(self._known))
        behind = next((at for at, (new, old) in pairs if new != old), shorter)
        step = {
            "agent": self._agent_name,
            "answers": self._answers,
            "behind": behind,
            "items": self._items[behind:],
            "state": state,
            "counted": astuple(self.counted),
            "said": self._steering.words,
        }
        self._known, self._is_recorded = list(self._items), True
        await self._calls.record(step, calls)

    # -- going on

    def agent_of(self, first: Agent[Any]) -> Agent[Any]:
        """The agent that was at work; raises TurnError if it is not to be found."""
        for agent in _reachable(first):
            if agent.name == self._agent_name:
                return agent
        raise CannotGoOn(UNKNOWN_AGENT)

    async def state_of(self, first: Agent[Any], context: Any) -> RunState[Any] | None:
        """The run that waits for approvals; None if it did not."""
        if self._state is None:
            return None
        return await RunState.from_json(
            first, self._state, context_override=RunContextWrapper(context)
        )

    async def outcome_of(self, call_id: str, tool: str, arguments: str | None) -> str | None:
        """What is known of a call that was approved before; None for one that may run."""
        known = self._calls.result_of(call_id)
        if known is not None:
            return str(known)
        may_run = await self._calls.may_begin(call_id, tool, arguments or "{}")
        return None if may_run else OUTCOME_UNKNOWN

    def was_begun(self, call_id: str) -> bool:
        """Whether another worker has begun a call that waited for its approval."""
        return self._calls.was_begun(call_id)

    async def items_left(self, agent: Agent[Any], context: Any) -> list[TResponseInputItem]:
        """What the model is asked next: all that was, and a result of each call."""
        ended_calls = {e.call_id for e in self._turn.records.events if isinstance(e, ToolResult)}
        items = list(self._items)
        tools = await agent.get_all_tools(RunContextWrapper(context))
        functions = {tool.name: tool for tool in tools if isinstance(tool, FunctionTool)}
        calls = _last_calls(items)
        theirs = [call for call in calls if call["name"] in self._clients]
        # The client is asked for all of its calls together, as it was.
        given = await asyncio.gather(
            *(self._result(call, functions.get(call["name"]), context) for call in theirs)
        )
        outputs = {call["call_id"]: output for call, output in zip(theirs, given)}
        for call in calls:
            call_id, name = call["call_id"], call["name"]
            if call_id not in outputs:
                outputs[call_id] = await self._result(call, functions.get(name), context)
                if call_id not in ended_calls:
                    self._report(call_id, name, outputs[call_id])
            output = outputs[call_id]
            items.append({"type": "function_call_output", "call_id": call_id, "output": output})
        return items

    async def _result(self, call: dict[str, Any], tool: FunctionTool | None, context: Any) -> Any:
        call_id, name, arguments = call["call_id"], call["name"], call["arguments"]
        known = self._calls.result_of(call_id)
        if known is not None:
            return known
        is_clients = name in self._clients  # who is asked still, and runs it once
        if tool is None or not (
            is_clients or await self._calls.may_begin(call_id, name, arguments)
        ):
            return OUTCOME_UNKNOWN
        await self._calls.begin(call_id)
        around = ToolContext(
            context=context, tool_name=name, tool_call_id=call_id, tool_arguments=arguments
        )
        with inside_call(self._call(call_id, name)):
            result = await tool.on_invoke_tool(around, arguments)
        text = result if isinstance(result, str) else str(result)
        self._calls.note_result(call_id, lambda: text)
        return text

    def _report(self, call_id: str, tool: str, output: Any) -> None:
        if output == OUTCOME_UNKNOWN:
            self._turn.emit(ToolResult(tool, call_id, {"error": output}, status="error"))
        else:
            self._turn.emit(ToolResult(tool, call_id, bounded_json(output)))

    def _call(self, call_id: str, tool: str) -> Call:
        key = self._turn.key_of("answer", self._answers, call_id)
        return Call(key, call_id, tool, self._turn.attempt)


def _calls_of(items: Sequence[Any]) -> list[Any]:
    return [
        item for item in items if isinstance(item, dict) and item.get("type") == "function_call"
    ]


def _last_calls(items: Sequence[Any]) -> list[Any]:
    """The calls that have no output."""
    given = {
        item["call_id"]
        for item in items
        if isinstance(item, dict) and item.get("type") == "function_call_output"
    }
    return [call for call in _calls_of(items) if call["call_id"] not in given]


def _reachable(first: Agent[Any]) -> Iterator[Agent[Any]]:
    """An agent and all that it hands over to."""
    seen: set[int] = set()
    left = [first]
    while left:
        agent = left.pop()
        if id(agent) in seen:
            continue
        seen.add(id(agent))
        yield agent
        for handoff in agent.handoffs:
            reference = getattr(handoff, "_agent_ref", None)
            found = handoff if isinstance(handoff, Agent) else reference and reference()
            if isinstance(found, Agent):
                left.append(found)
