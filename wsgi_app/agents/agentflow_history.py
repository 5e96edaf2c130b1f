"""Messages as AgentFlow keeps them: of a turn's history, and of a thread that did not end well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentflow.core.state import AgentState, Message
from agentflow.core.state.execution_state import ExecutionState, ExecutionStatus
from agentflow.core.state.message_block import TextBlock, ToolResultBlock
from agentflow.utils.constants import START

from wsgi_app.agents.memory_gap import Remembered, join_texts, missing_messages
from wsgi_app.engine.turn.valid_messages import NO_RESULT
from wsgi_app.store.base import Message as ChatMessage


def to_message(chat_message: ChatMessage) -> Message:
    """A chat message of the host's history."""
    role, text = chat_message["role"], chat_message.get("content") or ""
    if role == "tool":
        unknown = text == NO_RESULT
        return tool_message(chat_message["tool_call_id"], text, is_error=unknown)
    return Message(
        role=role,
        content=[TextBlock(text=text)] if text else [],
        tools_calls=chat_message.get("tool_calls"),
    )


def tool_message(call_id: str, output: Any, *, is_error: bool = False) -> Message:
    """A tool's result."""
    status = "failed" if is_error else "completed"
    block = ToolResultBlock(call_id=call_id, output=output, is_error=is_error, status=status)
    return Message.tool_message([block])


def repair(state: AgentState, history: Sequence[ChatMessage], *, replaces: bool) -> bool:
    """Make a state fit for a new message; False if it is already.

    AgentFlow would continue where a cancelled or failed turn has stopped, and its calls without a
    result would be refused by providers. ``replaces``: whether its newest exchange goes.
    """
    stopped = state.execution_meta.status != ExecutionStatus.COMPLETED
    before = _without_newest(state.context) if replaces else state.context
    missing = missing_messages(_remembered(before), history, stopped=stopped and not replaces)
    if not (stopped or replaces or missing):
        return False
    state.context = [*before, *map(to_message, missing)]
    thread_id = state.execution_meta.thread_id
    state.execution_meta = ExecutionState(current_node=START, thread_id=thread_id)
    return True


def _without_newest(context: Sequence[Message]) -> list[Message]:
    asked = [index for index, message in enumerate(context) if message.role == "user"]
    return list(context[: asked[-1]] if asked else context)


def _remembered(context: Sequence[Message]) -> Remembered:
    """What the newest exchange is."""
    asked = [index for index, message in enumerate(context) if message.role == "user"]
    answer = context[asked[-1] + 1 :] if asked else context
    spoken = [message for message in answer if message.role == "assistant"]
    calls = [str(call["id"]) for message in spoken for call in message.tools_calls or ()]
    results = {
        block.call_id
        for message in answer
        for block in message.content
        if isinstance(block, ToolResultBlock)
    }
    last = answer[-1] if answer else None
    return Remembered(
        user=_text_of(context[asked[-1]]) if asked else None,
        calls=set(calls),
        open_calls=[call_id for call_id in calls if call_id not in results],
        text=join_texts(map(_text_of, spoken)),
        is_answered=last is not None and last.role == "assistant" and not last.tools_calls,
    )


def _text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))
