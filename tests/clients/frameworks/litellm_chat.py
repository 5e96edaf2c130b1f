"""litellm's SDK, with OpenAI's chat API."""

from __future__ import annotations

from collections.abc import Generator

import litellm
from saying import Say, run


def begin(url: str, key: str) -> Say:
    """A conversation whose messages this script keeps."""
    messages: list[dict[str, str]] = []

    def say(message: str) -> Generator[str]:
        messages.append({"role": "user", "content": message})
        reply = litellm.completion(
            "openai/agent", messages, api_base=f"{url}/agents/v1", api_key=key, stream=True
        )
        text, stream = "", reply.completion_stream
        try:
            for chunk in reply:
                piece = chunk.choices[0].delta.content or ""
                text += piece
                yield piece
        finally:
            stream.close()
        messages.append({"role": "assistant", "content": text})

    return say


run(begin)
