"""One agent of each kind that asks a model by itself, at the scripted provider.

All have the same tools and the same instructions, so that a table can hold for all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from openai import AsyncOpenAI

from tests.support.upstream import Upstream
from wsgi_app import OpenAIAgent

Agent = Callable[..., Any]
Tools = Sequence[Callable[..., Any]]
SYSTEM: Final = "You help."


class Kinds:
    """Makes agents at one provider; ``close`` is a turn that ends their clients."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._client: AsyncOpenAI | None = None

    def make(self, name: str, tools: Tools, **options: Any) -> Agent:
        """Make an agent; ``options`` are those of `OpenAIAgent`."""
        framework, _, api = name.partition(" ")
        make = {
            "openai": self._openai,
            "agents-sdk": self._agents_sdk,
            "langgraph": self._langgraph,
            "pydantic-ai": self._pydantic_ai,
        }[framework]
        return make(api, tools, **options)

    async def close(self, _: Any) -> None:
        """End the client."""
        if self._client is not None:
            await self._client.close()

    @property
    def client(self) -> AsyncOpenAI:
        """A client as a team would make it, on no loop yet."""
        if self._client is None:
            url = self._upstream.url
            self._client = AsyncOpenAI(base_url=url, api_key="test-key", max_retries=0)
        return self._client

    def _openai(self, api: Any, tools: Tools, **options: Any) -> Agent:
        return OpenAIAgent(
            "test-model", tools, SYSTEM, api=api, client=options.pop("client", None), **options
        )

    def _agents_sdk(self, api: str, tools: Tools) -> Agent:
        from agents import (  # noqa: PLC0415 - loaded by the tests that need it
            Agent as SdkAgent,
        )
        from agents import (  # noqa: PLC0415 - the same
            OpenAIChatCompletionsModel,
            OpenAIResponsesModel,
            function_tool,
        )

        from wsgi_app.agents.openai_agents import AgentsSdkAgent  # noqa: PLC0415 - the same

        kind: Any = OpenAIChatCompletionsModel if api == "chat" else OpenAIResponsesModel
        model = kind("test-model", self.client)
        sdk_tools: list[Any] = [function_tool(tool) for tool in tools]
        return AgentsSdkAgent(
            SdkAgent(name="Main", model=model, instructions=SYSTEM, tools=sdk_tools)
        )

    def _langgraph(self, api: str, tools: Tools) -> Agent:
        import warnings  # noqa: PLC0415 - the same

        from langgraph.prebuilt import create_react_agent  # noqa: PLC0415 - the same
        from langgraph.warnings import LangGraphDeprecatedSinceV10  # noqa: PLC0415 - the same

        from tests.support.graphs import make_model  # noqa: PLC0415 - the same
        from wsgi_app.agents.langgraph import LangGraphAgent  # noqa: PLC0415 - the same

        model = make_model(self._upstream, use_responses_api=api == "responses")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LangGraphDeprecatedSinceV10)
            return LangGraphAgent(create_react_agent(model, list(tools), prompt=SYSTEM))

    def _pydantic_ai(self, api: str, tools: Tools) -> Agent:
        from pydantic_ai import Agent as PydanticAgent  # noqa: PLC0415 - the same
        from pydantic_ai.models.openai import (  # noqa: PLC0415 - the same
            OpenAIChatModel,
            OpenAIResponsesModel,
        )
        from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415 - the same

        from wsgi_app.agents.pydantic_ai import PydanticAIAgent  # noqa: PLC0415 - the same

        kind: Any = OpenAIChatModel if api == "chat" else OpenAIResponsesModel
        model = kind("test-model", provider=OpenAIProvider(openai_client=self.client))
        return PydanticAIAgent(PydanticAgent(model, instructions=SYSTEM, tools=list(tools)))


#: All kinds, each with both APIs; Pydantic AI needs Python 3.11.
KINDS: Final = [
    f"{framework} {api}"
    for framework in ("openai", "agents-sdk", "langgraph", "pydantic-ai")
    for api in ("chat", "responses")
    if framework != "pydantic-ai" or sys.version_info >= (3, 11)
]
