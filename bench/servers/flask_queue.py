"""The plain Flask template: a thread that asks the model, a queue, and a generator behind it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator

from flask import Flask, Response, request, stream_with_context
from openai import OpenAI

from bench.servers import paced

app = Flask(__name__)
client = OpenAI()


@app.post("/chat/<session_id>")
def chat(session_id: str) -> Response:
    """Stream the model's answer."""
    del session_id  # nothing is remembered
    texts: queue.Queue[str | None] = queue.Queue()
    message = request.get_json()["message"]
    threading.Thread(target=ask, args=(message, texts), daemon=True).start()
    return Response(stream_with_context(frames(texts)), mimetype="text/event-stream")


def ask(message: str, texts: queue.Queue[str | None]) -> None:
    """Put the answer's text on the queue."""
    try:
        for text in answer(message):
            texts.put(text)
    finally:
        texts.put(None)


def frames(texts: queue.Queue[str | None]) -> Iterator[str]:
    """Drain the queue."""
    while (text := texts.get()) is not None:
        yield f"data: {json.dumps({'type': 'token', 'content': text})}\n\n"
    yield f"data: {json.dumps({'type': 'done'})}\n\n"


def ask_model(message: str) -> Iterator[str]:
    """Ask the model, and pass its text on."""
    chunks = client.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": message}], stream=True
    )
    for chunk in chunks:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield text


answer = paced.answer if paced.is_asked_for() else ask_model
