"""Google ADK: a session a turn, its sync tools in threads; LiteLLM asks the model."""

from collections.abc import AsyncIterator

import litellm  # noqa: F401 - else it is loaded, for seconds, in the first turn
from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode, ToolThreadPoolConfig
from google.adk.events import Event
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai.types import Content, Part
from shop import MODEL, stock

from wsgi_app import Turn
from wsgi_app.agents import http

model = LiteLlm(f"openai/{MODEL}", client=http.async_openai_client())
agent = LlmAgent(name="shop", model=model, tools=[stock])
config = RunConfig(
    streaming_mode=StreamingMode.SSE, tool_thread_pool_config=ToolThreadPoolConfig(max_workers=32)
)


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer a turn."""
    runner = InMemoryRunner(agent, app_name="shop")
    names = {"user_id": turn.tenant, "session_id": turn.session_id}
    session = await runner.session_service.create_session(app_name="shop", **names)
    for said in turn.plain_history:
        author = "user" if said["role"] == "user" else "shop"
        role = "user" if author == "user" else "model"
        content = Content(role=role, parts=[Part(text=said["content"])])
        await runner.session_service.append_event(session, Event(author=author, content=content))
    message = Content(role="user", parts=[Part(text=turn.message)])
    async for event in runner.run_async(new_message=message, run_config=config, **names):
        for part in event.content.parts if event.partial and event.content else ():
            yield part.text or ""
