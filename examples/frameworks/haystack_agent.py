"""Haystack: streams by a callback."""

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools import create_tool_from_function
from shop import MODEL, stock

from wsgi_app import Turn
from wsgi_app.agents import http

transport = {"transport": http.async_transport()}
counting = {"stream_options": {"include_usage": True}}
model = OpenAIChatGenerator(model=MODEL, http_client_kwargs=transport, generation_kwargs=counting)
agent = Agent(chat_generator=model, tools=[create_tool_from_function(stock)])
MAKE = {"user": ChatMessage.from_user, "assistant": ChatMessage.from_assistant}


async def answer(turn: Turn) -> None:
    """Answer a turn."""

    async def send(piece: StreamingChunk) -> None:
        turn.emit(piece.content)

    messages = [MAKE[m["role"]](m["content"]) for m in turn.plain_history]
    await agent.run_async([*messages, ChatMessage.from_user(turn.message)], streaming_callback=send)
