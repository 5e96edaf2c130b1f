"""A turn's conversation with a model, as the chat-completions API wants it.

What goes back is what every server takes: one system message, at the start; of the history what
`valid_messages` makes of it; of an answer its text, its calls under names and with arguments that
are valid, and the reasoning that the provider itself sent in a form which it wants back. Reasoning
under other names stays out, since servers that do not ask for it refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from wsgi_app.agents.call_arguments import arguments_to_repeat
from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.agents.descriptions import instructions, short_description
from wsgi_app.agents.model_api import ModelRequest, Prompt, sendable
from wsgi_app.agents.reasoning_details import DETAIL_FIELDS
from wsgi_app.agents.tools import AnyTool, is_strict
from wsgi_app.compat.python import zip_strict
from wsgi_app.engine.turn.history import as_text, without_oldest
from wsgi_app.engine.turn.valid_messages import split_system, valid_name
from wsgi_app.events import AnyEvent, ToolResult

#: What DeepSeek and Kimi want back with each call of a conversation, in later turns too.
_REASONING: Final = "reasoning_content"


class ChatConversation:
    """See `Conversation`."""

    def __init__(self, prompt: Prompt, history: Sequence[Any], message: Any) -> None:
        self._prompt = prompt
        self._history = [_with_reasoning(prompt, message) for message in history]
        self._own: list[Any] = [{"role": "user", "content": message}]
        self._has_spoken = False
        self._step: ChatStep

    def begin_step(self, emit: Callable[[str | AnyEvent], None]) -> ChatStep:
        """See `Conversation.begin_step`."""
        self._step = ChatStep(emit, has_spoken=self._has_spoken)
        return self._step

    def request(self) -> ModelRequest:
        """See `Conversation.request`."""
        request = {
            "model": self._prompt.model,
            "messages": self._messages(),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._prompt.tools:
            request["tools"] = [_tool(tool) for tool in self._prompt.tools]
        return ModelRequest("chat/completions", request, self._prompt.options)

    def answer(self) -> list[Any]:
        """See `Conversation.answer`."""
        return [_assistant_message(self._step)]

    def add(self, answer: Sequence[Any], results: Sequence[ToolResult], *, spoke: bool) -> None:
        """See `Conversation.add`."""
        self._has_spoken = self._has_spoken or spoke
        self._own += answer
        self._own += [_tool_message(result) for result in results]

    def say(self, texts: Sequence[str]) -> None:
        """See `Conversation.say`."""
        if texts:
            self._own.append({"role": "user", "content": sendable("\n\n".join(texts))})

    def shorten(self) -> bool:
        """See `Conversation.shorten`."""
        shorter = without_oldest(self._history)
        if shorter is not None:
            self._history = shorter
        return shorter is not None

    def kept(self) -> dict[str, Any] | None:
        """See `Conversation.kept`."""
        fields = _reasoning_fields(self._step)
        return {"model": self._prompt.model, **fields} if fields else None

    def _messages(self) -> list[Any]:
        system, messages = split_system(self._history)
        own = instructions(self._prompt.system, self._prompt.tools)
        if own:
            system.insert(0, own)
        messages += self._own
        if any(_REASONING in message for message in messages):
            messages = [_with_empty_reasoning(message) for message in messages]
        if system:
            messages.insert(0, {"role": "system", "content": "\n\n".join(system)})
        return messages


def _tool(tool: AnyTool) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": tool.name,
        "description": short_description(tool),
        "parameters": tool.parameters,
    }
    if is_strict(tool):
        function["strict"] = True
    return {"type": "function", "function": function}


def _assistant_message(step: ChatStep) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": step.text or None}
    message |= _reasoning_fields(step)
    calls = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {
                "name": valid_name(call.tool),
                "arguments": arguments_to_repeat(call.arguments),
            },
            **({"extra_content": sendable(extra_content)} if extra_content else {}),
        }
        for call, extra_content in zip_strict(step.calls, step.extra_contents)
    ]
    if calls:
        message["tool_calls"] = calls
    return message


def _reasoning_fields(step: ChatStep) -> dict[str, Any]:
    fields: dict[str, Any] = sendable(step.reasoning_details)
    if step.reasoning_content:
        fields[_REASONING] = step.reasoning_content
    return fields


def _with_reasoning(prompt: Prompt, message: dict[str, Any]) -> dict[str, Any]:
    """A message of the history with the reasoning that this model sent with its calls."""
    calls = message.get("tool_calls")
    kept = prompt.kept(calls[0]["id"]) if calls else None
    if not isinstance(kept, dict) or kept.get("model") != prompt.model:
        return message
    names = (_REASONING, *DETAIL_FIELDS)
    return {**message, **{name: kept[name] for name in names if name in kept}}


def _with_empty_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """A message with calls as Kimi wants it, where none came with it; it refuses an empty text."""
    return {_REASONING: " ", **message} if message.get("tool_calls") else message


def _tool_message(result: ToolResult) -> dict[str, Any]:
    content = sendable(as_text(result.output))
    return {"role": "tool", "tool_call_id": result.call_id, "content": content}
