"""AutoGen: one AssistantAgent a turn, for it keeps its messages."""

from collections.abc import AsyncIterator

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ModelClientStreamingChunkEvent, TextMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient
from shop import MODEL, stock

from wsgi_app import Turn
from wsgi_app.agents import http

counting = {"stream_options": {"include_usage": True}}
model = OpenAIChatCompletionClient(model=MODEL, http_client=http.async_http_client(), **counting)


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    options = {"model_client_stream": True, "reflect_on_tool_use": True}
    agent = AssistantAgent("shop", model, tools=[stock], **options)
    messages = [*turn.plain_history, {"role": "user", "content": turn.message}]
    task = [TextMessage(source=m["role"], content=m["content"]) for m in messages]
    async for event in agent.run_stream(task=task):
        yield event.content if isinstance(event, ModelClientStreamingChunkEvent) else ""
