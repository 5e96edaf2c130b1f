"""Microsoft Agent Framework."""

from collections.abc import AsyncIterator

from agent_framework import Agent, Message
from agent_framework.openai import OpenAIChatCompletionClient
from shop import MODEL, stock

from wsgi_app import Turn
from wsgi_app.agents import http

client = OpenAIChatCompletionClient(model=MODEL, async_client=http.async_openai_client())
agent = Agent(client, tools=[stock])


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    said = [*turn.plain_history, {"role": "user", "content": turn.message}]
    messages = [Message(m["role"], [m["content"]]) for m in said]
    async for update in agent.run(messages, stream=True):
        yield update.text
