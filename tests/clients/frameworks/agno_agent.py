"""agno: an Agent whose model is the host."""

from __future__ import annotations

from collections.abc import Generator

from agno.agent import Agent, RunErrorEvent
from agno.db.in_memory import InMemoryDb
from agno.models.openai.like import OpenAILike
from saying import Say, run


def begin(url: str, key: str) -> Say:
    """An agent with a session in memory."""
    model = OpenAILike(id="agent", base_url=f"{url}/agents/v1", api_key=key)
    agent = Agent(model=model, db=InMemoryDb(), add_history_to_context=True, telemetry=False)

    def say(message: str) -> Generator[str]:
        events = agent.run(message, session_id="s-1", stream=True)
        try:
            for event in events:
                if isinstance(event, RunErrorEvent):
                    raise RuntimeError(event.content)  # noqa: TRY004 - of whatever kind it was
                yield event.content if event.event == "RunContent" else ""
        finally:
            events.close()

    return say


run(begin)
