"""Strands: one Agent a turn, for it keeps its messages; it repeats a 429 in silence."""

from collections.abc import AsyncIterator

from shop import MODEL, stock
from strands import Agent, tool
from strands.models.openai import OpenAIModel

from wsgi_app import Turn
from wsgi_app.agents import http

model = OpenAIModel(client=http.async_openai_client(), model_id=MODEL)


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    said = [{"role": m["role"], "content": [{"text": m["content"]}]} for m in turn.plain_history]
    agent = Agent(model=model, messages=said, tools=[tool(stock)], callback_handler=None)
    async for event in agent.stream_async(turn.message):
        yield event.get("data", "")
