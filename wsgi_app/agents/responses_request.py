"""A turn's conversation with a model, as the Responses API wants it.

What goes back is what every server takes: items that name their type, of which llama.cpp refuses
all others; instructions in one place; calls under valid names. An item of the provider's own goes
back as it came. With ``store: false`` the provider has kept none of them: then its encrypted
reasoning is asked for, and goes back without the ids under which it would look for what it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from wsgi_app.agents.descriptions import instructions, short_description
from wsgi_app.agents.model_api import ModelRequest, Prompt, sendable
from wsgi_app.agents.responses_stream import ResponsesStep
from wsgi_app.agents.tools import AnyTool, is_strict
from wsgi_app.engine.turn.history import as_text, without_oldest
from wsgi_app.engine.turn.valid_messages import split_system
from wsgi_app.events import AnyEvent, ToolResult

_ENCRYPTED: Final = "reasoning.encrypted_content"
_TEXT_PART: Final = {"assistant": "output_text"}


class ResponsesConversation:
    """See `Conversation`."""

    def __init__(self, prompt: Prompt, history: Sequence[Any], message: Any) -> None:
        self._prompt = prompt
        self._history = list(history)
        self._own = list(_items_of({"role": "user", "content": message}))
        self._has_spoken = False
        self._step: ResponsesStep

    def begin_step(self, emit: Callable[[str | AnyEvent], None]) -> ResponsesStep:
        """See `Conversation.begin_step`."""
        self._step = ResponsesStep(emit, has_spoken=self._has_spoken)
        return self._step

    def request(self) -> ModelRequest:
        """See `Conversation.request`."""
        system, messages = split_system(self._history)
        own = instructions(self._prompt.system, self._prompt.tools)
        if own:
            system.insert(0, own)
        options = self._prompt.options
        request: dict[str, Any] = {
            "model": self._prompt.model,
            "input": [*(item for message in messages for item in _items_of(message)), *self._own],
            "stream": True,
        }
        if system:
            request["instructions"] = "\n\n".join(system)
        if self._prompt.tools:
            request["tools"] = [_tool(tool) for tool in self._prompt.tools]
        if self._is_stateless:
            included = options.get("include") or []
            options = {**options, "include": list(dict.fromkeys([*included, _ENCRYPTED]))}
        return ModelRequest("responses", request, options)

    def answer(self) -> list[Any]:
        """See `Conversation.answer`."""
        output = self._step.output
        return list(_stateless(output) if self._is_stateless else output)

    def add(self, answer: Sequence[Any], results: Sequence[ToolResult], *, spoke: bool) -> None:
        """See `Conversation.add`."""
        self._has_spoken = self._has_spoken or spoke
        self._own += answer
        self._own += [_output(result.call_id, as_text(result.output)) for result in results]

    def say(self, texts: Sequence[str]) -> None:
        """See `Conversation.say`."""
        if texts:
            self._own += _items_of({"role": "user", "content": "\n\n".join(texts)})

    def shorten(self) -> bool:
        """See `Conversation.shorten`."""
        shorter = without_oldest(self._history)
        if shorter is not None:
            self._history = shorter
        return shorter is not None

    def kept(self) -> dict[str, Any] | None:
        """See `Conversation.kept`."""
        return None

    @property
    def _is_stateless(self) -> bool:
        return self._prompt.options.get("store") is False


def _stateless(items: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The items for a provider that has kept none of them."""
    for item in items:
        has_content = item.get("encrypted_content") or item.get("content")
        if item["type"] != "reasoning" or has_content:  # or the provider knows nothing of it
            yield {name: value for name, value in item.items() if name != "id"}


def _tool(tool: AnyTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": short_description(tool),
        "parameters": tool.parameters,
        # This API takes it for granted, and refuses most schemas then.
        "strict": is_strict(tool),
    }


def _items_of(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The input items that say what a chat message says."""
    if message["role"] == "tool":
        yield _output(message["tool_call_id"], message["content"])
        return
    content = message.get("content")
    if content:
        role = message["role"]
        yield {"type": "message", "role": role, "content": _content(role, content)}
    for call in message.get("tool_calls") or ():
        yield {"type": "function_call", "call_id": call["id"], **call["function"]}


def _content(role: str, content: Any) -> Any:
    kind = _TEXT_PART.get(role, "input_text")
    if isinstance(content, str):
        text = sendable(content)
        return [{"type": kind, "text": text, "annotations": []}] if role == "assistant" else text
    return [{**part, "type": kind} if part.get("type") == "text" else part for part in content]


def _output(call_id: str, output: Any) -> dict[str, Any]:
    content = _content("tool", output)
    return {"type": "function_call_output", "call_id": call_id, "output": content}
