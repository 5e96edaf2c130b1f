"""An application that hosts one agent of each framework with each memory that it may have.

``DATABASE_URL`` is an empty database of Postgres, ``MEMORY_FOLDER`` where the files are,
``OPENAI_BASE_URL`` the scripted provider.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, function_tool
from agents import SQLiteSession as SdkSession
from flask import Flask
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from openai import AsyncOpenAI
from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.support.processes import ROOT
from wsgi_app import AgentHost, OpenAIAgent, current_turn
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.openai_agents import AgentsSdkAgent
from wsgi_app.agents.pydantic_ai import PydanticAIAgent

MODEL: Final = "test-model"


async def stock(article: str) -> str:
    """Count what is in stock."""
    return f"seven {article}"


async def hang(article: str) -> str:
    """Take for ever."""
    await asyncio.sleep(3600)
    return article


async def ask(article: str) -> str:
    """Ask the user."""
    return str(await current_turn().ask_async(f"Which {article}?"))


async def fail(article: str) -> str:
    """Fail."""
    raise OSError(f"no {article}")


TOOLS: Final = (stock, hang, ask, fail)


def _graph(saver: Any) -> LangGraphAgent:
    model = ChatOpenAI(model=MODEL, max_retries=0)
    return LangGraphAgent(create_agent(model, list(TOOLS), checkpointer=saver))


def _openai(api: Any) -> OpenAIAgent:
    return OpenAIAgent(MODEL, list(TOOLS), api=api)


def _sdk(model: Any, session: Any = None) -> AgentsSdkAgent:
    tools: list[Any] = [function_tool(tool) for tool in TOOLS]
    made = model(MODEL, AsyncOpenAI(max_retries=0))
    return AgentsSdkAgent(Agent(name="main", model=made, tools=tools), session=session)


def _pydantic() -> PydanticAIAgent:
    provider = OpenAIProvider(openai_client=AsyncOpenAI(max_retries=0))
    model = OpenAIChatModel(MODEL, provider=provider)
    return PydanticAIAgent(PydanticAgent(model, tools=list(TOOLS)))


def _file(name: str) -> Path:
    return Path(os.environ["MEMORY_FOLDER"]) / name


def _pool_options() -> dict[str, Any]:
    return {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}


def _postgres() -> LangGraphAgent:
    pool = ConnectionPool[Connection[DictRow]](
        os.environ["DATABASE_URL"],
        open=True,
        kwargs=_pool_options(),
        check=ConnectionPool.check_connection,
    )
    return _graph(PostgresSaver(pool))


@asynccontextmanager
async def _async_postgres() -> AsyncIterator[LangGraphAgent]:
    async with AsyncConnectionPool[AsyncConnection[DictRow]](
        os.environ["DATABASE_URL"],
        open=False,
        kwargs=_pool_options(),
        check=AsyncConnectionPool.check_connection,
    ) as pool:
        yield _graph(AsyncPostgresSaver(pool))


def _sqlite() -> LangGraphAgent:
    connection = sqlite3.connect(_file("graph.db"), check_same_thread=False, timeout=30)
    return _graph(SqliteSaver(connection))


@asynccontextmanager
async def _async_sqlite() -> AsyncIterator[LangGraphAgent]:
    async with AsyncSqliteSaver.from_conn_string(str(_file("async.db"))) as saver:
        yield _graph(saver)


#: By what their prefix is called.
AGENTS: Final[dict[str, Callable[[], Any]]] = {
    "openai-chat": partial(_openai, "chat"),
    "openai-responses": partial(_openai, "responses"),
    "pydantic-ai": _pydantic,
    "sdk-chat": partial(_sdk, OpenAIChatCompletionsModel),
    "sdk-responses": partial(_sdk, OpenAIResponsesModel),
    "sdk-session": lambda: _sdk(
        OpenAIChatCompletionsModel, lambda name: SdkSession(name, _file("sdk.db"))
    ),
    "graph": lambda: _graph(None),
    "graph-memory": lambda: _graph(InMemorySaver()),
    "graph-sqlite": _sqlite,
    "graph-async-sqlite": _async_sqlite,
    "graph-postgres": _postgres,
    "graph-async-postgres": _async_postgres,
}


def _mcp() -> OpenAIAgent:
    program = str(ROOT / "tests/support/mcp_server.py")
    env = {"PYTHONPATH": str(ROOT), "NOTES": str(_file("notes"))}
    return OpenAIAgent(MODEL, tools=[McpServer.stdio(sys.executable, [program], env)])


#: Without a memory of its own, but with a program for each session.
OTHERS: Final[dict[str, Callable[[], Any]]] = {"openai-mcp": _mcp}


def make_tables() -> None:
    """Make the tables of all savers."""
    with PostgresSaver.from_conn_string(os.environ["DATABASE_URL"]) as saver:
        saver.setup()
    for name in ("graph.db", "async.db"):
        with SqliteSaver.from_conn_string(str(_file(name))) as made:
            made.setup()


def remembering_app() -> Flask:
    """Mount each below its name."""
    app = Flask("site")
    for name, make in {**AGENTS, **OTHERS}.items():
        AgentHost(make).init_app(app, url_prefix=f"/{name}")
    return app


if __name__ == "__main__":
    make_tables()
