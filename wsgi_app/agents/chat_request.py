"""A turn's conversation with a model, as the chat-completions API wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from wsgi_app.agents.call_arguments import arguments_to_repeat
from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.agents.model_api import Prompt, open_request, sendable
from wsgi_app.agents.tools import AnyTool
from wsgi_app.compat.python import zip_strict
from wsgi_app.engine.history import as_text
from wsgi_app.events import AnyEvent, ToolResult

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI


class ChatConversation:
    """See `Conversation`; ``history`` is chat messages, the last one the user's."""

    def __init__(self, prompt: Prompt, history: Sequence[Any]) -> None:
        self._prompt = prompt
        self._messages = list(history)
        if prompt.system:
            self._messages.insert(0, {"role": "system", "content": prompt.system})
        self._has_spoken = False
        self._step: ChatStep

    def begin_step(self, emit: Callable[[str | AnyEvent], None]) -> ChatStep:
        """See `Conversation.begin_step`."""
        self._step = ChatStep(emit, has_spoken=self._has_spoken)
        return self._step

    def send(
        self, client: AsyncOpenAI, *, typed: bool
    ) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
        """See `Conversation.send`."""
        create: Any = client.chat.completions.with_streaming_response.create
        request = {
            "model": self._prompt.model,
            "messages": self._messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._prompt.tools:
            request["tools"] = [_tool(tool) for tool in self._prompt.tools]
        return open_request(create, request, self._prompt.options, typed=typed)

    def add_results(self, results: Sequence[ToolResult]) -> None:
        """See `Conversation.add_results`."""
        self._has_spoken = self._has_spoken or bool(self._step.text)
        self._messages.append(_assistant_message(self._step))
        self._messages += [_tool_message(result) for result in results]


def _tool(tool: AnyTool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def _assistant_message(step: ChatStep) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": step.text or None}
    if step.reasoning_content:
        message["reasoning_content"] = step.reasoning_content
    message["tool_calls"] = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.tool, "arguments": arguments_to_repeat(call.arguments)},
            **({"extra_content": extra_content} if extra_content else {}),
        }
        for call, extra_content in zip_strict(step.calls, step.extra_contents)
    ]
    return message


def _tool_message(result: ToolResult) -> dict[str, Any]:
    content = sendable(as_text(result.output))
    return {"role": "tool", "tool_call_id": result.call_id, "content": content}
