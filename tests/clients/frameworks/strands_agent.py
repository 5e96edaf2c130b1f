"""strands: an Agent whose model is the host."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from saying import AsyncSay, run_async
from strands import Agent
from strands.models.openai import OpenAIModel


def begin(url: str, key: str) -> AsyncSay:
    """An agent that keeps its messages."""
    client_args = {"base_url": f"{url}/agents/v1", "api_key": key}
    model = OpenAIModel(client_args=client_args, model_id="agent")
    agent = Agent(model=model, callback_handler=None)

    async def say(message: str) -> AsyncGenerator[str]:
        async with aclosing(agent.stream_async(message)) as events:
            async for event in events:
                yield event.get("data", "")

    return say


run_async(begin)
