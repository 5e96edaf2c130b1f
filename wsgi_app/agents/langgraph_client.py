"""The client of a turn as its graph calls it: tools that run where the user is.

A call comes here in one of three ways: a tool node gets one that none of its tools is for; the
graph ends with it, as the graphs of CopilotKit and AG-UI do; or a tool of the graph's own hands it
on by an interrupt, which LangChain calls a headless tool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.types import Interrupt

from wsgi_app.agents.client_calls import ClientCalls
from wsgi_app.agents.steps_of_calls import StepsOfCalls
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.history import as_text
from wsgi_app.events import ClientTool, RequestedCall, ToolResult


class GraphClient:
    """Used by tasks of the ``agents`` loop alone."""

    def __init__(self, turn: Turn, calls: StepsOfCalls, headless: Collection[str]) -> None:
        self._steps = calls
        self._together = ClientCalls(turn)
        #: The tools that the client has brought, and all that it runs.
        self._brought = {tool.name for tool in turn.client_tools} - set(headless)
        self.names = self._brought | set(headless)

    def is_for(self, tool: str, own: Collection[str]) -> bool:
        """Whether a call is the client's, at a tool node that has these tools."""
        return tool in self._brought and tool not in own

    async def run(self, call: Mapping[str, Any], name: str) -> ToolMessage:
        """Run a call of a tool node's; ``name`` as in `ToolCallOf`."""
        return _message(await self._call(name, _requested(call)))

    async def run_last(self, messages: Sequence[BaseMessage]) -> list[ToolMessage]:
        """Run the calls that a graph has ended with; none if it ended with something else."""
        last = messages[-1] if messages else None
        calls = last.tool_calls if isinstance(last, AIMessage) else []
        if last is None or not calls or any(call["name"] not in self._brought for call in calls):
            return []
        named = [(f"{last.id} {call['id']}", _requested(call)) for call in calls]
        results = await asyncio.gather(*(self._call(name, one) for name, one in named))
        return [_message(result) for result in results]

    async def answers(self, interrupts: Sequence[Interrupt]) -> dict[str, Any]:
        """What those interrupts return that a headless tool has made, by their ids."""
        asked = {one.id: call for one in interrupts if (call := self._headless_call(one))}
        results = await asyncio.gather(*(self._call(name, one) for name, one in asked.items()))
        return {
            name: {"error": as_text(result.output)} if result.status == "error" else result.output
            for name, result in zip(asked, results)
        }

    def _headless_call(self, interrupt: Interrupt) -> RequestedCall | None:
        value = interrupt.value
        if not isinstance(value, dict) or value.get("type") != "tool":
            return None
        call = value.get("tool_call") or value.get("toolCall")  # as Python or JavaScript has it
        if not isinstance(call, dict) or call.get("name") not in self.names:
            return None
        return _requested({"id": interrupt.id, **call})

    async def _call(self, name: str, requested: RequestedCall) -> ToolResult:
        known = self._steps.result_of(name)
        if known is not None:
            return ToolResult(requested.tool, requested.call_id, *known)
        result = await self._together.call(requested)
        self._steps.note_result(name, lambda: [result.output, result.status])
        return result


def _requested(call: Mapping[str, Any]) -> RequestedCall:
    arguments = call.get("args")
    return RequestedCall(
        str(call["id"] or ""), call["name"], arguments if isinstance(arguments, dict) else {}
    )


def _message(result: ToolResult) -> ToolMessage:
    return ToolMessage(
        as_text(result.output),
        name=result.tool,
        tool_call_id=result.call_id,
        status="error" if result.status == "error" else "success",
    )


def as_functions(tools: Sequence[ClientTool]) -> list[dict[str, Any]]:
    """Tools as chat models of LangChain take them."""
    return [{"type": "function", "function": action} for action in as_actions(tools)]


def as_actions(tools: Sequence[ClientTool]) -> list[dict[str, Any]]:
    """Tools as CopilotKit's graphs have them in their state."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters or {"type": "object", "properties": {}},
        }
        for tool in tools
    ]
