"""smolagents: synchronous; one agent a turn, for it keeps its steps."""

from collections.abc import Iterator

from shop import MODEL, stock
from smolagents import FinalAnswerStep, LogLevel, OpenAIModel, ToolCallingAgent, tool

from wsgi_app import Turn
from wsgi_app.agents import http

model = OpenAIModel(MODEL, client_kwargs={"http_client": http.http_client()}, retry=False)


def answer(turn: Turn) -> Iterator[str]:
    """Answer a turn."""
    agent = ToolCallingAgent(
        [tool(stock)], model, stream_outputs=True, verbosity_level=LogLevel.OFF
    )
    said = "\n".join(f"{m['role']}: {m['content']}" for m in turn.plain_history)
    for step in agent.run(f"{said}\nuser: {turn.message}", stream=True):
        if isinstance(step, FinalAnswerStep):
            yield str(step.output)
