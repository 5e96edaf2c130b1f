"""agno: shows a failure by an event only."""

from collections.abc import AsyncIterator

from agno.agent import Agent, Message, RunContentEvent, RunErrorEvent
from agno.models.openai import OpenAIChat
from shop import MODEL, stock

from wsgi_app import Turn, UpstreamError
from wsgi_app.agents import http

model = OpenAIChat(id=MODEL, http_client=http.async_http_client())
agent = Agent(model=model, tools=[stock], telemetry=False)


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    messages = [
        Message(**m) for m in [*turn.plain_history, {"role": "user", "content": turn.message}]
    ]
    async for event in agent.arun(messages, stream=True, stream_events=True):
        if isinstance(event, RunErrorEvent):
            raise UpstreamError("The model provider failed.")
        if isinstance(event, RunContentEvent):
            yield event.content or ""
