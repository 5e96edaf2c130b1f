"""CrewAI: in the turn's thread; one agent a turn. Set ``CREWAI_DISABLE_TELEMETRY=true``."""

from typing import Any

from crewai import Agent
from crewai.events import LLMStreamChunkEvent, crewai_event_bus
from crewai.llms.providers.openai.completion import OpenAICompletion
from crewai.tools import tool
from shop import MODEL, stock

from wsgi_app import Turn, current_turn
from wsgi_app.agents import http


class Model(OpenAICompletion):  # type: ignore[misc] # crewai is not there for mypy
    """Its client's requests are the turn's."""

    def _build_sync_client(self) -> Any:
        return http.openai_client(**self._get_client_params())


@crewai_event_bus.on(LLMStreamChunkEvent)  # type: ignore[untyped-decorator] # the same
def show(_: Any, event: LLMStreamChunkEvent) -> None:
    """Send a piece of the text."""
    current_turn().emit("" if event.tool_call else event.chunk)


def answer(turn: Turn) -> None:
    """Answer a turn."""
    model = Model(model=MODEL, stream=True)
    about = {"role": "seller", "goal": "Help.", "backstory": "You know the shop."}
    agent = Agent(llm=model, tools=[tool(stock)], max_retry_limit=0, **about)
    agent.kickoff([*turn.plain_history, {"role": "user", "content": turn.message}])
