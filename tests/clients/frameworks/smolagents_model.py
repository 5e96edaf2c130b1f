"""smolagents: its model for OpenAI-compatible servers."""

from __future__ import annotations

from collections.abc import Generator

from saying import Say, run
from smolagents import ChatMessage, MessageRole, OpenAIModel


def begin(url: str, key: str) -> Say:
    """A conversation whose messages this script keeps."""
    model = OpenAIModel("agent", api_base=f"{url}/agents/v1", api_key=key)
    messages: list[ChatMessage] = []

    def say(message: str) -> Generator[str]:
        messages.append(ChatMessage(role=MessageRole.USER, content=message))
        text = ""
        parts = model.generate_stream(messages)
        try:
            for part in parts:
                text += part.content or ""
                yield part.content or ""
        finally:
            parts.close()
        messages.append(ChatMessage(role=MessageRole.ASSISTANT, content=text))

    return say


run(begin)
