"""FastAPI's EventSourceResponse over AsyncOpenAI, as their documentation shows both."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel

from bench.servers.fastapi_async import Question, answer

app = FastAPI()


class Event(BaseModel):
    """What the client gets."""

    type: str
    content: str | None = None


@app.post("/chat/{session_id}", response_class=EventSourceResponse)
async def chat(session_id: str, question: Question) -> AsyncIterator[Event]:
    """Stream the model's answer."""
    del session_id  # nothing is remembered
    async for text in answer(question.message):
        yield Event(type="token", content=text)
    yield Event(type="done")
