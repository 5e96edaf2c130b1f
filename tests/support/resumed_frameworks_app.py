"""Agents of frameworks whose turns other workers go on with; their tools' effects are in a file.

``OPENAI_BASE_URL`` is the scripted provider, ``MEMORY_FOLDER`` where the files are.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import warnings
from pathlib import Path
from typing import Any, Final

from agents import Agent, OpenAIChatCompletionsModel, function_tool
from agents import SQLiteSession as SdkSession
from flask import Flask
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent
from langgraph.types import interrupt
from langgraph.warnings import LangGraphDeprecatedSinceV10
from openai import AsyncOpenAI
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import Tool as PydanticTool
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.support.processes import ROOT
from tests.support.resumed_app import note
from wsgi_app import AgentHost, OpenAIAgent, current_call, current_turn
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.openai_agents import AgentsSdkAgent
from wsgi_app.agents.pydantic_ai import PydanticAIAgent
from wsgi_app.agents.tools import OnCrash

MODEL: Final = "test-model"
ON_CRASH: Final[dict[str, OnCrash]] = {"look_up": "retry", "order": "ask"}


async def charge(name: str, how: str = "") -> str:
    """Charge something; ``how``: what the first worker does in it."""
    return await _run("charge", "charged", name, how)


async def look_up(name: str, how: str = "") -> str:
    """Look something up, which may be done again."""
    return await _run("look_up", "found", name, how)


async def order(name: str, how: str = "") -> str:
    """Order something, again only if the user wants it."""
    return await _run("order", "ordered", name, how)


async def pay(name: str, how: str = "") -> str:
    """Pay, if the user allows it."""
    return await _run("pay", "paid", name, how)


async def ask_graph(name: str, how: str = "") -> str:
    """Pay, if the user allows it, as LangGraph asks."""
    if not interrupt(f"Pay {name}?"):
        return "not paid"
    return await _run("ask_graph", "paid", name, how)


async def _run(kind: str, done: str, name: str, how: str) -> str:
    note(kind, current_turn().session_id, name)
    if how and current_call().attempt == 1:
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(float(how.split()[1]))
    return f"{done} {name}"


TOOLS: Final = (charge, look_up, order)


def saver() -> SqliteSaver:
    """What all workers of a host share."""
    file = Path(os.environ["MEMORY_FOLDER"]) / "graph.db"
    connection = sqlite3.connect(file, check_same_thread=False, timeout=30)
    made = SqliteSaver(connection)
    made.setup()
    return made


def _model() -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, max_retries=0)


def _graph() -> Any:
    return create_agent(_model(), [*TOOLS, ask_graph], checkpointer=saver())


def _one_tool_node() -> Any:
    """A graph whose calls of a step are all in one task."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangGraphDeprecatedSinceV10)
        tools = ToolNode([*TOOLS, ask_graph])
        return create_react_agent(_model(), tools, checkpointer=saver(), version="v1")


def _subgraph() -> Any:
    """A graph whose tools are in a graph of its own."""
    builder = StateGraph(MessagesState)
    builder.add_node("inner", create_agent(_model(), list(TOOLS)))
    builder.add_edge(START, "inner")
    return builder.compile(checkpointer=saver())


def _sdk(*, remembers: bool = False) -> AgentsSdkAgent:
    tools: list[Any] = [function_tool(tool) for tool in TOOLS]
    tools.append(function_tool(pay, needs_approval=True))
    made = OpenAIChatCompletionsModel(MODEL, AsyncOpenAI(max_retries=0))
    folder = Path(os.environ["MEMORY_FOLDER"])
    session = (lambda name: SdkSession(name, folder / "sdk.db")) if remembers else None
    agent: Agent[Any] = Agent(name="main", model=made, tools=tools)
    return AgentsSdkAgent(agent, session=session, on_crash=ON_CRASH)


def _pydantic() -> PydanticAIAgent:
    provider = OpenAIProvider(openai_client=AsyncOpenAI(max_retries=0))
    tools = [*(PydanticTool(tool) for tool in TOOLS), PydanticTool(pay, requires_approval=True)]
    agent = PydanticAgent(OpenAIChatModel(MODEL, provider=provider), tools=tools)
    return PydanticAIAgent(agent, on_crash=ON_CRASH)


def _mounted(agents: dict[str, Any]) -> Flask:
    """Mount each below its name."""
    site = Flask("site")
    for name, agent in agents.items():
        AgentHost(agent).init_app(site, url_prefix=f"/{name}")
    return site


def graphs_app() -> Flask:
    """Graphs with a checkpointer."""
    return _mounted(
        {
            "graph": LangGraphAgent(_graph(), on_crash=ON_CRASH),
            "one-tool-node": LangGraphAgent(_one_tool_node(), on_crash=ON_CRASH),
            "subgraph": LangGraphAgent(_subgraph(), on_crash=ON_CRASH, subgraphs=True),
            "nested": LangGraphAgent(_subgraph(), on_crash=ON_CRASH, subgraphs="nested"),
        }
    )


def postgres_app() -> Flask:
    """A graph whose checkpoints are in a database that all hosts share: ``DATABASE_URL``."""
    pool = ConnectionPool[Connection[DictRow]](
        os.environ["DATABASE_URL"],
        open=True,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )
    graph = create_agent(_model(), [*TOOLS], checkpointer=PostgresSaver(pool))
    return _mounted({"graph": LangGraphAgent(graph, on_crash=ON_CRASH)})


def mcp_app() -> Flask:
    """The built-in agent with the tools of a program."""
    program = str(ROOT / "tests/support/resumed_mcp_server.py")
    env = {"PYTHONPATH": str(ROOT), "TEST_EFFECTS": os.environ["TEST_EFFECTS"]}
    tools = [McpServer.stdio(sys.executable, [program], env)]
    return _mounted({"agents": OpenAIAgent(MODEL, tools)})


def frameworks_app() -> Flask:
    """The agents of other frameworks."""
    return _mounted(
        {"pydantic-ai": _pydantic(), "sdk": _sdk(), "sdk-session": _sdk(remembers=True)}
    )
