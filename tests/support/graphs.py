"""Graphs of LangGraph for tests, their model at the scripted provider."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition
from langgraph.warnings import LangGraphDeprecatedSinceV10
from pydantic import SecretStr

from tests.support.conversation import add, pick_colour, read_file
from tests.support.upstream import Upstream

Graph: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]
Tools = Sequence[Callable[..., Any]]
Reply = dict[str, Any]

TOOLS: Tools = (add, read_file, pick_colour)


def described(error: Exception) -> str:
    """What a failing tool tells the model, in the words of the built-in agent."""
    return f"{type(error).__name__}: {error}"


def make_model(
    upstream: Upstream, kind: type[ChatOpenAI] = ChatOpenAI, **options: Any
) -> ChatOpenAI:
    """A model at the scripted provider."""
    key = SecretStr("sk-upstream-test-key")
    fixed = {"model": "test-model", "base_url": upstream.url, "api_key": key}
    return kind(**{"max_retries": 0, "stream_usage": True, **fixed, **options})


def builder_of(node: Callable[..., Any], tools: Tools = TOOLS) -> StateGraph[Any, Any, Any, Any]:
    """A model's node and a node for its tools, not compiled yet."""
    builder = StateGraph(MessagesState)
    builder.add_node("model", node)
    builder.add_node("tools", ToolNode(list(tools), handle_tool_errors=described))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder


def asking(model: ChatOpenAI, tools: Tools = TOOLS) -> Callable[..., Any]:
    """A node that awaits the model."""
    bound = model.bind_tools(list(tools)) if tools else model

    async def node(state: MessagesState, config: RunnableConfig) -> Reply:
        # Handed on by hand: before Python 3.11 LangGraph cannot do it.
        return {"messages": [await bound.ainvoke(state["messages"], config)]}

    return node


def async_graph(upstream: Upstream, tools: Tools = TOOLS, **options: Any) -> Graph:
    """A graph whose model is awaited; ``options`` are its compilation's."""
    return builder_of(asking(make_model(upstream), tools), tools).compile(**options)


def sync_graph(upstream: Upstream, tools: Tools = TOOLS, **options: Any) -> Graph:
    """A graph of sync functions, which LangGraph calls in threads."""
    model = make_model(upstream).bind_tools(list(tools))

    def node(state: MessagesState, config: RunnableConfig) -> Reply:
        return {"messages": [model.invoke(state["messages"], config)]}

    return builder_of(node, tools).compile(**options)


def prebuilt_graph(upstream: Upstream, tools: Tools = TOOLS, **options: Any) -> Graph:
    """What LangGraph's own function makes of a model and tools."""
    node = ToolNode(list(tools), handle_tool_errors=described)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangGraphDeprecatedSinceV10)
        return create_react_agent(make_model(upstream), node, **options)


def one_node(node: Any, state: Any = MessagesState, **options: Any) -> Graph:
    """A graph of one node."""
    builder = StateGraph(state)
    builder.add_node("only", node)
    builder.add_edge(START, "only")
    return builder.compile(**options)
