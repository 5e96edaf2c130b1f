"""Messages as AgentFlow keeps them: of a turn's history, and of a thread that did not end well."""

from __future__ import annotations

from typing import Any

from agentflow.core.state import AgentState, Message
from agentflow.core.state.execution_state import ExecutionState, ExecutionStatus
from agentflow.core.state.message_block import TextBlock, ToolResultBlock
from agentflow.utils.constants import START

from wsgi_app.engine.valid_messages import NO_RESULT


def to_message(chat_message: dict[str, Any]) -> Message:
    """A chat message of the host's history."""
    role, text = chat_message["role"], chat_message.get("content") or ""
    if role == "tool":
        return tool_message(chat_message["tool_call_id"], text)
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


def mend(state: AgentState) -> bool:
    """Make a state fit for a new message; False if it is already.

    AgentFlow would go on where a cancelled or failed turn has stopped, and its calls without a
    result would be refused by providers.
    """
    if state.execution_meta.status == ExecutionStatus.COMPLETED:
        return False
    state.context = [*state.context, *_answers_to_open_calls(state.context)]
    thread_id = state.execution_meta.thread_id
    state.execution_meta = ExecutionState(current_node=START, thread_id=thread_id)
    return True


def _answers_to_open_calls(context: list[Message]) -> list[Message]:
    answered: set[str] = set()
    for message in reversed(context):
        if message.role == "tool":
            results = [block for block in message.content if isinstance(block, ToolResultBlock)]
            answered.update(block.call_id for block in results)
        else:
            calls = message.tools_calls or ()
            open_ids = [call["id"] for call in calls if call["id"] not in answered]
            return [tool_message(call_id, NO_RESULT, is_error=True) for call_id in open_ids]
    return []
