"""LangChain: an agent of create_agent; its calls run side by side on the turn's loop."""

from collections.abc import AsyncIterator
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from shop import MODEL, stock

from wsgi_app import Turn
from wsgi_app.agents import http

model = ChatOpenAI(
    model=MODEL,
    stream_usage=True,
    http_client=http.http_client(),
    http_async_client=http.async_http_client(),
)
agent = create_agent(model, [stock])


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    asked: Any = {"messages": [*turn.plain_history, {"role": "user", "content": turn.message}]}
    async for piece, _ in agent.astream(asked, stream_mode="messages"):
        if isinstance(piece, AIMessageChunk):
            yield str(piece.text)
