"""litellm's SDK, with OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Generator

import litellm
from saying import Say, run

# It asks for whole responses, and makes pieces of them, of a model that it does not know.
STREAMS = {"litellm_provider": "openai", "mode": "responses", "supports_native_streaming": True}
litellm.register_model({"openai/agent": STREAMS})


def begin(url: str, key: str) -> Say:
    """A conversation that the host keeps."""
    last: list[str] = []

    def say(message: str) -> Generator[str]:
        events = litellm.responses(
            model="openai/agent",
            input=message,
            previous_response_id=last[-1] if last else None,
            api_base=f"{url}/agents/v1",
            api_key=key,
            stream=True,
        )
        try:
            for event in events:
                if event.type == "response.output_text.delta":
                    yield event.delta
                elif event.type == "response.completed":
                    last.append(event.response.id)
                elif event.type == "response.failed":
                    raise RuntimeError(event.response.error)
        finally:
            events.response.close()

    return say


run(begin)
