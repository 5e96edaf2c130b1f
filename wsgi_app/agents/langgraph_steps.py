"""The steps of a graph, so that another worker can continue it, and what it continues with.

LangGraph itself continues from a thread's newest checkpoint, and runs the step behind it again, its
tools among it. So the tools of a graph's tool nodes are called by `StepsOfCalls`.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeGuard

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel
from langgraph.types import StateSnapshot

from wsgi_app.agents.langgraph_client import GraphClient
from wsgi_app.agents.langgraph_memory import AnyGraph, messages_of
from wsgi_app.agents.langgraph_stream import GraphStream
from wsgi_app.agents.steps_of_calls import StepsOfCalls, ToolCallOf
from wsgi_app.engine import Turn
from wsgi_app.errors import CannotGoOn

NO_CHECKPOINT: Final = (
    "The graph's checkpointer does not have the turn: the worker that is gone had another one."
)
#: Names a call among those of its turn: the task's name is the same in each attempt.
_TASK: Final = "langgraph_checkpoint_ns"
#: What is in the names of a subgraph's tasks.
_INNER: Final = "|"

_current: ContextVar[GraphSteps | None] = ContextVar("wsgi_app_graph_steps", default=None)


class GraphSteps:
    """The steps of one turn's run. Used by tasks of the ``agents`` loop alone."""

    def __init__(
        self,
        turn: Turn,
        calls: StepsOfCalls,
        graph: AnyGraph,
        serde: SerializerProtocol,
        client: GraphClient,
    ) -> None:
        self._turn = turn
        self._calls = calls
        self.client = client
        self._tool_nodes = {name for name, node in graph.nodes.items() if _is_tools(node.bound)}
        self._serde = serde
        step = calls.steps[-1] if calls.steps else {}
        #: The newest checkpoint that was recorded, and whether one task alone runs behind it.
        self._checkpoint: str = step.get("checkpoint", "")
        self._runs_alone = False

    @property
    def keeps(self) -> bool:
        """See `StepsOfCalls.keeps`."""
        return self._calls.keeps

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have the tools that the block calls be those of these steps."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    async def take(self, checkpoint: Mapping[str, Any]) -> None:
        """Record a checkpoint that the saver has, before the step behind it runs."""
        name = checkpoint["config"]["configurable"]["checkpoint_id"]
        following = set(checkpoint["next"])
        if not following or name == self._checkpoint or not self.keeps:
            return
        messages = messages_of(checkpoint["values"])
        calls = open_calls(messages) if following & self._tool_nodes else []
        self._checkpoint, self._runs_alone = name, len(checkpoint["next"]) == 1
        last = messages[-1].id if messages else None
        begins = checkpoint["metadata"].get("source") == "input"
        step = {"checkpoint": name, "last": last, "begins": begins}
        # What another node says at the same time is said again.
        await self._calls.record(step, calls, calls if following <= self._tool_nodes else ())

    async def take_inner(self, checkpoint: Mapping[str, Any]) -> None:
        """Record that what a subgraph has said counts: it has a checkpoint of its own."""
        messages = messages_of(checkpoint["values"])
        if messages and checkpoint["next"] and self._runs_alone and self.keeps:
            await self._calls.advance(messages[-1].id, open_calls(messages))

    def check_begins(self) -> None:
        """Raise TurnError if the turn cannot begin again: the saver lacks what was recorded."""
        if any(not step["begins"] for step in self._calls.steps):
            raise CannotGoOn(NO_CHECKPOINT)

    def show(self, state: StateSnapshot, message_id: str, stream: GraphStream) -> None:
        """Report what the state has behind the last record, and what the user has not seen."""
        stream.note_events(self._turn.records.events)
        recorded = {step["last"] for step in self._calls.steps[-1:]} | set(self._calls.advances)
        recorded = recorded - {None} or {message_id}
        for message, namespace in _behind(state, recorded):
            stream.take("messages", (message, {}), namespace)

    async def run_tool(self, call: Mapping[str, Any], task: str, execute: Any) -> Any:
        """Run a call of a tool node's."""
        call_id, tool = call["id"] or "", call["name"]
        return await self._calls.run(
            ToolCallOf(
                call_id=call_id,
                tool=tool,
                arguments=call["args"],
                name=_name_of(call, task),
                parts=(task, call_id),
                execute=execute,
                encode=self._encode,
                decode=self._decode,
                substitute=lambda text: ToolMessage(
                    text, name=tool, tool_call_id=call_id, status="error"
                ),
                waits=(GraphBubbleUp,),
            )
        )

    async def run_client_tool(self, call: Mapping[str, Any], task: str) -> ToolMessage:
        """Have the client run a call of a tool node's."""
        return await self.client.run(call, _name_of(call, task))

    async def confirm(self) -> None:
        """See `StepsOfCalls.confirm`."""
        await self._calls.confirm()

    def _encode(self, output: Any) -> list[str]:
        kind, data = self._serde.dumps_typed(output)
        return [kind, base64.b64encode(data).decode()]

    def _decode(self, value: Sequence[str]) -> Any:
        return self._serde.loads_typed((value[0], base64.b64decode(value[1])))


async def confirm_turn() -> None:
    """Make sure that the turn is this worker's, before a checkpointer writes for it."""
    steps = _current.get()
    if steps is not None:
        await steps.confirm()


def with_steps(graph: AnyGraph) -> AnyGraph:
    """A copy of a graph whose tool nodes, also those of subgraphs, call by `GraphSteps`."""
    changes: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        if isinstance(node.bound, Pregel):
            inner = with_steps(node.bound)
            changes[name] = node.copy({"bound": inner, "subgraphs": [inner]})
        elif _is_tools(node.bound):
            changes[name] = node.copy({"bound": _with_steps(node.bound)})
    return graph.copy({"nodes": {**graph.nodes, **changes}}) if changes else graph


def _is_tools(bound: Any) -> TypeGuard[ToolNode]:
    return isinstance(bound, ToolNode) and hasattr(bound, "_arun_one")


def _with_steps(node: ToolNode) -> ToolNode:
    made = copy.copy(node)
    made.__class__ = type(type(node).__name__, (_InSteps, type(node)), {})
    # It holds its methods as they were bound to the other one.
    for name in ("func", "afunc"):
        method = getattr(node, name)
        if getattr(method, "__self__", None) is node:
            setattr(made, name, getattr(made, method.__name__))
    return made


class _InSteps(ToolNode):
    """Goes in front of a tool node's own class."""

    async def _arun_one(self, call: Any, input_type: Any, tool_runtime: Any) -> Any:
        execute = partial(super()._arun_one, call, input_type, tool_runtime)
        steps = _current.get()
        if steps is None:
            return await execute()
        task = str((tool_runtime.config.get("metadata") or {}).get(_TASK, ""))
        if steps.client.is_for(call["name"], self.tools_by_name):
            return await steps.run_client_tool(call, task)
        return await steps.run_tool(call, task, execute)


def _name_of(call: Mapping[str, Any], task: str) -> str:
    call_id = call["id"] or ""
    return f"{task} {call_id}" if _INNER in task else call_id


def tool_names(graph: AnyGraph) -> set[str]:
    """The tools of a graph's tool nodes, also of those of subgraphs."""
    names: set[str] = set()
    for node in graph.nodes.values():
        if isinstance(node.bound, Pregel):
            names |= tool_names(node.bound)
        elif isinstance(node.bound, ToolNode):
            names |= node.bound.tools_by_name.keys()
    return names


def open_calls(messages: Sequence[BaseMessage]) -> list[str]:
    """The calls that have no result yet."""
    given = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    answer = next((m for m in reversed(messages) if isinstance(m, AIMessage)), None)
    calls = [call["id"] or "" for call in answer.tool_calls] if answer is not None else []
    return [call_id for call_id in calls if call_id not in given]


def _behind(
    state: StateSnapshot, recorded: Collection[str | None], namespace: Sequence[str] = ()
) -> list[tuple[BaseMessage, Sequence[str]]]:
    """The messages behind recorded ones, in a state and in those of its subgraphs that run.

    Each with the namespace that it is in.
    """
    messages = messages_of(state.values)
    indexes = [index for index, message in enumerate(messages) if message.id in recorded]
    behind = messages[indexes[-1] + 1 :] if indexes else []
    found = [(message, namespace) for message in behind]
    for task in state.tasks:
        if isinstance(task.state, StateSnapshot):
            known = {message.id for message, _ in found}
            inner = _behind(task.state, recorded, [*namespace, f"{task.name}:{task.id}"])
            found += [one for one in inner if one[0].id not in known]
    return found
