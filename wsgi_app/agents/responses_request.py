"""A turn's conversation with a model, as the Responses API wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from wsgi_app.agents.model_api import Prompt, open_request, sendable
from wsgi_app.agents.responses_stream import ResponsesStep
from wsgi_app.agents.tools import AnyTool
from wsgi_app.engine.history import as_text
from wsgi_app.events import AnyEvent, ToolResult

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI

_TEXT_PART: Final = {"assistant": "output_text"}


class ResponsesConversation:
    """See `Conversation`; ``history`` is chat messages, the last one the user's."""

    def __init__(self, prompt: Prompt, history: Sequence[Mapping[str, Any]]) -> None:
        self._prompt = prompt
        self._input = [item for message in history for item in _items_of(message)]
        self._has_spoken = False
        self._step: ResponsesStep

    def begin_step(self, emit: Callable[[str | AnyEvent], None]) -> ResponsesStep:
        """See `Conversation.begin_step`."""
        self._step = ResponsesStep(emit, has_spoken=self._has_spoken)
        return self._step

    def send(
        self, client: AsyncOpenAI, *, typed: bool
    ) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
        """See `Conversation.send`."""
        create: Any = client.responses.with_streaming_response.create
        request: dict[str, Any] = {
            "model": self._prompt.model,
            "input": self._input,
            "stream": True,
        }
        if self._prompt.system:
            request["instructions"] = self._prompt.system
        if self._prompt.tools:
            request["tools"] = [_tool(tool) for tool in self._prompt.tools]
        return open_request(create, request, self._prompt.options, typed=typed)

    def add_results(self, results: Sequence[ToolResult]) -> None:
        """See `Conversation.add_results`."""
        self._has_spoken = self._has_spoken or bool(self._step.text)
        self._input += self._step.output
        self._input += [_output(result.call_id, as_text(result.output)) for result in results]


def _tool(tool: AnyTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": False,  # this API takes it for granted, and refuses most schemas then
    }


def _items_of(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The input items that say what a chat message says."""
    if message["role"] == "tool":
        yield _output(message["tool_call_id"], message["content"])
        return
    content = message.get("content")
    if content:
        yield {"role": message["role"], "content": _content(message["role"], content)}
    for call in message.get("tool_calls") or ():
        yield {"type": "function_call", "call_id": call["id"], **call["function"]}


def _content(role: str, content: Any) -> Any:
    if isinstance(content, str):
        return sendable(content)
    kind = _TEXT_PART.get(role, "input_text")
    return [{**part, "type": kind} if part.get("type") == "text" else part for part in content]


def _output(call_id: str, output: Any) -> dict[str, Any]:
    content = _content("tool", output)
    return {"type": "function_call_output", "call_id": call_id, "output": content}
