"""Graphs of LangGraph whose models call tools of their client's, each below its name.

The model is at ``OPENAI_BASE_URL``; with ``MEMORY_FOLDER`` the graphs remember there.
"""

from __future__ import annotations

import os
import sqlite3
import warnings
from pathlib import Path
from typing import Annotated, Any

from flask import Flask
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition
from langgraph.types import interrupt
from langgraph.warnings import LangGraphDeprecatedSinceV10

from tests.support.openai_apps import SYSTEM, add
from wsgi_app import AgentHost
from wsgi_app.agents.langchain import ClientTools
from wsgi_app.agents.langgraph import LangGraphAgent, client_tools

Reply = dict[str, Any]


def _model() -> ChatOpenAI:
    return ChatOpenAI(model="test-model", max_retries=0)


def _saver() -> SqliteSaver | None:
    folder = os.environ.get("MEMORY_FOLDER")
    if folder is None:
        return None
    file = Path(folder) / "graphs.db"
    saver = SqliteSaver(sqlite3.connect(file, check_same_thread=False, timeout=30))
    saver.setup()
    return saver


def made() -> Any:
    """What `create_agent` makes, with a tool of its own."""
    return create_agent(
        _model(), [add], system_prompt=SYSTEM, middleware=[ClientTools()], checkpointer=_saver()
    )


def made_without_tools() -> Any:
    """The same without any: it has no node for them, so it ends with a call."""
    return create_agent(_model(), [], middleware=[ClientTools()], checkpointer=_saver())


async def _ask(state: MessagesState, config: RunnableConfig) -> Reply:
    bound = _model().bind_tools([add, *client_tools()])
    return {"messages": [await bound.ainvoke(state["messages"], config)]}


def own() -> Any:
    """A graph of one's own: all calls of a step are in one task."""
    builder = StateGraph(MessagesState)
    builder.add_node("model", _ask)
    builder.add_node("tools", ToolNode([add]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=_saver())


def one_tool_node() -> Any:
    """What LangGraph's older function makes, its calls in one task."""

    def bound(state: Any, runtime: Any) -> Any:
        del state, runtime
        return _model().bind_tools([add, *client_tools()])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangGraphDeprecatedSinceV10)
        tools = ToolNode([add])
        return create_react_agent(bound, tools, checkpointer=_saver(), version="v1")


def nested() -> Any:
    """A graph whose tools are in a graph of its own."""
    builder = StateGraph(MessagesState)
    builder.add_node("inner", own().copy({"checkpointer": None}))
    builder.add_edge(START, "inner")
    return builder.compile(checkpointer=_saver())


class CopilotState(MessagesState):
    """What CopilotKit's graphs have, as far as this one looks at it."""

    copilotkit: dict[str, Any]


def copilotkit() -> Any:
    """A graph as CopilotKit's documentation has it: it ends with the calls of its page's tools."""

    async def ask(state: CopilotState, config: RunnableConfig) -> Reply:
        bound = _model().bind_tools([add, *state["copilotkit"]["actions"]])
        return {"messages": [await bound.ainvoke(state["messages"], config)]}

    def following(state: CopilotState) -> str:
        actions = {action["name"] for action in state["copilotkit"]["actions"]}
        calls = getattr(state["messages"][-1], "tool_calls", [])
        return "tools" if calls and actions.isdisjoint(one["name"] for one in calls) else END

    builder = StateGraph(CopilotState)
    builder.add_node("model", ask)
    builder.add_node("tools", ToolNode([add]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", following, ["tools", END])
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=_saver())


def paint(wall: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
    """Paint a wall, where the page is: a headless tool."""
    call = {"id": tool_call_id, "name": "paint", "args": {"wall": wall}}
    return interrupt({"type": "tool", "tool_call": call})


def headless() -> Any:
    """A graph with a tool that only the page can run."""
    return create_agent(_model(), [add, paint], checkpointer=_saver())


def app() -> Flask:
    """Mount them; the first one below /agents."""
    site = Flask("site")
    offering = {
        "agents": made(),
        "without-tools": made_without_tools(),
        "own": own(),
        "one-tool-node": one_tool_node(),
        "nested": nested(),
    }
    agents = {name: LangGraphAgent(graph, client_tools=True) for name, graph in offering.items()}
    agents["copilotkit"] = LangGraphAgent(copilotkit())
    agents["headless"] = LangGraphAgent(headless(), headless_tools=["paint"])
    agents["plain"] = LangGraphAgent(headless())
    for name, agent in agents.items():
        AgentHost(agent).init_app(site, url_prefix=f"/{name}")
    return site
