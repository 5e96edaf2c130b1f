"""FastAPI's StreamingResponse over AsyncOpenAI, as their documentation shows both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

from bench.servers import paced

app = FastAPI()
client = AsyncOpenAI()


class Question(BaseModel):
    """What the client posts."""

    message: str


@app.post("/chat/{session_id}")
async def chat(session_id: str, question: Question) -> StreamingResponse:
    """Stream the model's answer."""
    del session_id  # nothing is remembered
    return StreamingResponse(frames(question.message), media_type="text/event-stream")


async def frames(message: str) -> AsyncIterator[str]:
    """Write the answer as server-sent events."""
    async for text in answer(message):
        yield f"data: {json.dumps({'type': 'token', 'content': text})}\n\n"
    yield f"data: {json.dumps({'type': 'done'})}\n\n"


async def ask(message: str) -> AsyncIterator[str]:
    """Ask the model, and pass its text on."""
    chunks = await client.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": message}], stream=True
    )
    async for chunk in chunks:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield text


answer = paced.answer_async if paced.is_asked_for() else ask
