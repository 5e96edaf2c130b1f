"""LlamaIndex: says how a run ended by ``await handler`` alone."""

from collections.abc import AsyncIterator

from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI
from shop import MODEL, stock

from wsgi_app import Turn
from wsgi_app.agents import http

clients = {"http_client": http.http_client(), "async_http_client": http.async_http_client()}
counting = {"stream_options": {"include_usage": True}}
agent = FunctionAgent(tools=[stock], llm=OpenAI(model=MODEL, additional_kwargs=counting, **clients))


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    handler = agent.run(turn.message, chat_history=[ChatMessage(**m) for m in turn.plain_history])
    try:
        async for event in handler.stream_events():
            yield event.delta if isinstance(event, AgentStream) else ""
        await handler
    finally:
        await handler.cancel_run()
