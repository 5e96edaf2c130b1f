"""DSPy: a ReAct program; its failures are dspy.LMError. LiteLLM asks the model."""

from collections.abc import AsyncIterator

import dspy
import litellm
from shop import MODEL, stock

from wsgi_app import Turn, UpstreamError
from wsgi_app.agents import http

litellm.client_session = http.http_client()
litellm.aclient_session = http.async_http_client()
model = dspy.LM(f"openai/{MODEL}", cache=False, num_retries=0)
dspy.configure(lm=model, track_usage=True, async_max_workers=100)
agent = dspy.ReAct("history, question -> answer", tools=[stock])


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    said = "\n".join(f"{m['role']}: {m['content']}" for m in turn.plain_history)
    listener = dspy.streaming.StreamListener("answer")
    program = dspy.streamify(agent, stream_listeners=[listener])
    try:
        async for piece in program(history=said, question=turn.message):
            if isinstance(piece, dspy.streaming.StreamResponse):
                yield piece.chunk
    except dspy.LMError as error:
        raise UpstreamError("The model provider failed.") from error
