"""What a graph's checkpointer remembers of a session, made fit for the next message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.constants import START
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.pregel import Pregel
from langgraph.types import StateSnapshot

from wsgi_app.agents.memory_gap import Remembered, join_texts, missing_messages
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.valid_messages import NO_RESULT
from wsgi_app.store.base import Message

AnyGraph = Pregel[Any, Any, Any, Any]
#: What the ids of calls begin with that nobody made: a turn shows them for nodes that are graphs.
SUBGRAPH_CALL: Final = "node_"
#: The reducer of a state's messages that lets all of them be replaced.
_REPLACING: Final = "_add_messages"
_TURN: Final = "agent_turn"
_RUN: Final = "agent_run"


def as_messages(history: Sequence[Message]) -> list[BaseMessage]:
    """Chat messages as LangChain has them."""
    messages = convert_to_messages(history)
    for message in messages:
        # Or what a node returns of them would count as said in this turn.
        message.id = str(uuid4())
        if isinstance(message, ToolMessage) and message.content == NO_RESULT:
            message.status = "error"
    return messages


async def recall(
    graph: AnyGraph, config: RunnableConfig, history: Sequence[Message]
) -> list[BaseMessage] | None:
    """What the state needs before the user's message; None if there is no state of messages.

    A turn that was stopped leaves calls without results, which providers refuse, and nothing of
    what its user saw of the step that it was stopped in.
    """
    newest = await graph.aget_state(config)
    found = _messages_of(newest)
    if not found:
        return None
    stored, stopped = found, False
    if newest.tasks:
        # What a step's finished tasks have written is shown, but goes with the next message.
        begun = await graph.aget_state(newest.config)
        stored, stopped = _messages_of(begun), bool(begun.next)
    repaired = _repaired(stored)
    again = _not_in(stored, found)
    remembered = _remembered([*repaired, *again])
    nodes = {message.get("tool_call_id", "") for message in history}
    calls = {*remembered.calls, *(one for one in nodes if one.startswith(SUBGRAPH_CALL))}
    missing = missing_messages(remembered._replace(calls=calls), history, stopped=stopped)
    added = [*again, *as_messages(_named(missing, repaired))]
    if repaired == stored or not _can_replace(graph):
        return added
    return [RemoveMessage(REMOVE_ALL_MESSAGES), *repaired, *added]


async def knows(graph: AnyGraph, config: RunnableConfig, history: Sequence[Message]) -> bool:
    """Whether the state is of this history's session, not of one of its name before."""
    messages = _messages_of(await graph.aget_state(config))
    if not messages:
        return bool(history)
    asked = {str(message.text) for message in messages if isinstance(message, HumanMessage)}
    return any(one["role"] == "user" and one["content"] in asked for one in history)


def is_of_run(state: StateSnapshot, message_id: str) -> bool:
    """Whether the newest checkpoint is of the turn with this message."""
    return (state.metadata or {}).get(_RUN) == message_id


def marks(turn_id: str, message_id: str) -> dict[str, str]:
    """Metadata of a turn's checkpoints, by which `before_newest` knows them."""
    return {_TURN: turn_id, _RUN: message_id}


async def before_newest(
    graph: AnyGraph, config: RunnableConfig, turn: Turn
) -> RunnableConfig | None:
    """Where the thread stood before the exchange that a turn replaces; None if at its start."""
    newest = state = await graph.aget_state(config)
    if state.metadata is None or _is_before(state, turn):
        return config
    while _run_of(state) == _run_of(newest):
        if state.parent_config is None:
            return None
        state = await graph.aget_state(state.parent_config)
        if state.metadata is None:
            return None  # it was pruned
    checkpoint_id = state.config["configurable"]["checkpoint_id"]
    return merge_configs(config, {"configurable": {"checkpoint_id": checkpoint_id}})


def _is_before(newest: StateSnapshot, turn: Turn) -> bool:
    """Whether the replaced turn has written nothing: it failed before it could."""
    if (newest.metadata or {}).get(_TURN) == str(int(turn.turn_id) - 1):
        return False
    asked = [str(m.text) for m in _messages_of(newest) if isinstance(m, HumanMessage)]
    known = [one["content"] for one in turn.history if one["role"] == "user"]
    return bool(asked) and asked[-1:] == known[-1:]


def _run_of(state: StateSnapshot) -> str | None:
    """Which turn wrote a checkpoint; before they were marked, by the message that it answers."""
    mark = (state.metadata or {}).get(_RUN)
    asked = [message for message in _messages_of(state) if isinstance(message, HumanMessage)]
    return str(mark) if mark else (asked[-1].id if asked else None)


async def take_out(graph: AnyGraph, config: RunnableConfig, message_id: str) -> None:
    """Take a message out of the state again, if it came into it."""
    if any(one.id == message_id for one in _messages_of(await graph.aget_state(config))):
        update = {"messages": [RemoveMessage(message_id)]}
        await graph.aupdate_state(config, update, as_node=START)


def _messages_of(state: StateSnapshot) -> list[BaseMessage]:
    return messages_of(state.values)


def messages_of(values: Any) -> list[BaseMessage]:
    """The messages of a state's values; none of a state without."""
    messages = values.get("messages") if isinstance(values, dict) else None
    if not isinstance(messages, list):
        return []
    return [message for message in messages if isinstance(message, BaseMessage)]


def _not_in(stored: Sequence[BaseMessage], found: Sequence[BaseMessage]) -> list[BaseMessage]:
    ids = {message.id for message in stored}
    return [message for message in found if message.id not in ids]


def _repaired(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages with a result behind each call, but for calls at the very end."""
    repaired: list[BaseMessage] = []
    awaited: dict[str, str] = {}
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if awaited.pop(message.tool_call_id, None) is not None:
                repaired.append(message)
            continue
        repaired += [_late_result(*call, messages[index:]) for call in awaited.items()]
        repaired.append(message)
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        awaited = {call["id"] or "": call["name"] for call in calls}
    return repaired


def _late_result(call_id: str, name: str, later: Sequence[BaseMessage]) -> ToolMessage:
    """A call's result, which stands behind a message that it should be in front of."""
    for message in later:
        if isinstance(message, ToolMessage) and message.tool_call_id == call_id:
            return message
    return ToolMessage(NO_RESULT, name=name, tool_call_id=call_id, status="error", id=str(uuid4()))


def _remembered(messages: Sequence[BaseMessage]) -> Remembered:
    """What the newest exchange is."""
    asked = [index for index, one in enumerate(messages) if isinstance(one, HumanMessage)]
    answer = messages[asked[-1] + 1 :] if asked else messages
    spoken = [message for message in answer if isinstance(message, AIMessage)]
    calls = [call["id"] or "" for message in spoken for call in message.tool_calls]
    results = {m.tool_call_id for m in answer if isinstance(m, ToolMessage)}
    last = answer[-1] if answer else None
    return Remembered(
        user=str(messages[asked[-1]].text) if asked else None,
        calls=set(calls),
        open_calls=[call_id for call_id in calls if call_id not in results],
        text=join_texts(str(message.text) for message in spoken),
        is_answered=isinstance(last, AIMessage) and not last.tool_calls,
    )


def _named(missing: Sequence[Message], messages: Sequence[BaseMessage]) -> list[Message]:
    """Results of the state's own calls, with their tools' names as the framework's have them."""
    names = {
        call["id"]: call["name"]
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
    }
    return [
        {**message, "name": names[message["tool_call_id"]]}
        if message.get("tool_call_id") in names
        else message
        for message in missing
    ]


def _can_replace(graph: AnyGraph) -> bool:
    channel = graph.channels.get("messages")
    return getattr(getattr(channel, "operator", None), "__name__", "") == _REPLACING
