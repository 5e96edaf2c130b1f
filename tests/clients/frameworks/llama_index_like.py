"""llama-index: its OpenAILike model."""

from __future__ import annotations

from collections.abc import Generator

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from saying import Say, run


def begin(url: str, key: str) -> Say:
    """A conversation whose messages this script keeps."""
    model = OpenAILike(model="agent", api_base=f"{url}/agents/v1", api_key=key, is_chat_model=True)
    messages: list[ChatMessage] = []

    def say(message: str) -> Generator[str]:
        messages.append(ChatMessage(role="user", content=message))
        parts = model.stream_chat(messages)
        part = None
        try:
            for part in parts:
                yield part.delta or ""
        finally:
            parts.close()
        if part is not None:
            messages.append(part.message)

    return say


run(begin)
