"""One agent of each kind that asks a model by itself, at the scripted provider.

All have the same tools and the same instructions, so that a table can hold for all of them. A
framework is loaded by the tests that need it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final

from openai import AsyncOpenAI

from tests.support.upstream import Upstream
from wsgi_app import OpenAIAgent, Turn

Agent = Callable[..., Any]
Tools = Sequence[Callable[..., Any]]
SYSTEM: Final = "You help."


class Kinds:
    """Makes agents at one provider; ``close`` is a turn that ends their clients."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._client: AsyncOpenAI | None = None
        self._flow: Any = None

    def make(self, name: str, tools: Tools, **options: Any) -> Agent:
        """Make an agent; ``options`` are those of `OpenAIAgent`."""
        framework, _, api = name.partition(" ")
        makers: dict[str, Callable[..., Agent]] = {
            "openai": self._openai,
            "agents-sdk": self._agents_sdk,
            "langgraph": self._langgraph,
            "async-graph": self._graph,
            "sync-graph": self._graph,
            "pydantic-ai": self._pydantic_ai,
            "agentflow": self._agentflow,
            "agentao": self._agentao,
        }
        if framework.endswith("-graph"):
            options["kind"] = framework
        return makers[framework](api, tools, **options)

    async def close(self, _: Any) -> None:
        """End the clients."""
        if self._client is not None:
            await self._client.close()
        nodes = self._flow._state_graph.nodes.values() if self._flow else ()  # noqa: SLF001 - it has no call for it
        for client in filter(None, (getattr(node.func, "client", None) for node in nodes)):
            await client.close()

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

        from langgraph.prebuilt import ToolNode, create_react_agent  # noqa: PLC0415 - the same
        from langgraph.warnings import LangGraphDeprecatedSinceV10  # noqa: PLC0415 - the same

        from tests.support.graphs import described, make_model  # noqa: PLC0415 - the same
        from wsgi_app.agents.langgraph import LangGraphAgent  # noqa: PLC0415 - the same

        model = make_model(self._upstream, use_responses_api=api == "responses")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LangGraphDeprecatedSinceV10)
            node = ToolNode(list(tools), handle_tool_errors=described)
            return LangGraphAgent(create_react_agent(model, node, prompt=SYSTEM))

    def _graph(self, _: str, tools: Tools, kind: str) -> Agent:
        from tests.support.graphs import async_graph, sync_graph  # noqa: PLC0415 - the same
        from wsgi_app.agents.langgraph import LangGraphAgent  # noqa: PLC0415 - the same

        graph = async_graph if kind == "async-graph" else sync_graph
        return LangGraphAgent(graph(self._upstream, tools))

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
        told = [_telling_failures(tool) for tool in tools]
        return PydanticAIAgent(PydanticAgent(model, instructions=SYSTEM, tools=told))

    def _agentflow(self, api: str, tools: Tools) -> Agent:
        from agentflow.prebuilt.agent import ReactAgent  # noqa: PLC0415 - the same
        from injectq import InjectQ  # noqa: PLC0415 - the same

        from wsgi_app.agents.agentflow import AgentFlowAgent  # noqa: PLC0415 - the same

        counting = {"stream_options": {"include_usage": True}} if api == "chat" else {}
        agent: Any = ReactAgent(
            "test-model",
            container=InjectQ(),
            provider="openai",
            base_url=self._upstream.url,
            api_style=api,
            tools=list(tools),
            retry_config=False,
            max_retries=0,
            **counting,
        )
        self._flow = agent.compile()
        return AgentFlowAgent(self._flow)

    def _agentao(self, _: str, tools: Tools) -> Agent:
        from agentao.agent import Agentao  # noqa: PLC0415 - the same

        from tests.support.agentao_tools import FunctionTool  # noqa: PLC0415 - the same
        from wsgi_app.agents.agentao import AgentaoAgent  # noqa: PLC0415 - the same

        def make(**session: Any) -> Agentao:
            own = [FunctionTool(tool) for tool in tools]
            model = {"base_url": self._upstream.url, "api_key": "test-key", "model": "test-model"}
            return Agentao(extra_tools=own, **{"enabled_tools": (), **session, **model})

        def once(turn: Turn) -> None:
            with closing(AgentaoAgent(make)()) as session:
                session(turn)

        return once


def _telling_failures(tool: Callable[..., Any]) -> Callable[..., Any]:
    """A tool that tells its failure in Pydantic AI's way: there an exception ends the run."""
    from pydantic_ai import ToolFailed  # noqa: PLC0415 - the same

    @functools.wraps(tool)
    def telling(*arguments: Any, **named: Any) -> Any:
        try:
            return tool(*arguments, **named)
        except FileNotFoundError as error:
            raise ToolFailed(f"{type(error).__name__}: {error}") from error

    return telling


#: Those that speak both APIs; Pydantic AI needs Python 3.11.
KINDS: Final = [
    f"{framework} {api}"
    for framework in ("openai", "agents-sdk", "langgraph", "pydantic-ai")
    for api in ("chat", "responses")
    if framework != "pydantic-ai" or sys.version_info >= (3, 11)
]
#: All of them: a graph's model is awaited or called, AgentFlow needs Python 3.12.
ALL_KINDS: Final = [
    *KINDS,
    *("async-graph chat", "sync-graph chat", "agentao chat"),
    *(("agentflow chat", "agentflow responses") if sys.version_info >= (3, 12) else ()),
]
