"""A Flask site with an agent of LangChain that remembers in Postgres."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flask import Flask
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from wsgi_app import AgentHost
from wsgi_app.agents.langgraph import LangGraphAgent

DATABASE_URL = os.environ["DATABASE_URL"]
MODEL = os.environ.get("AGENT_MODEL", "gpt-4.1-mini")

app = Flask(__name__)


@app.cli.command("create-tables")
def create_tables() -> None:
    """Make the tables, once: workers that do so at the same time get in each other's way."""
    with PostgresSaver.from_conn_string(DATABASE_URL) as saver:
        saver.setup()


def stock(article: str) -> str:
    """Count how many of an article are in stock."""
    return f"{len(article)} of {article}"


@asynccontextmanager
async def make_agent() -> AsyncIterator[LangGraphAgent]:
    """The agent of a worker, with its pool.

    Entered once in each worker, on the loop that turns run on, and left when the worker goes.
    """
    async with AsyncConnectionPool[AsyncConnection[DictRow]](
        DATABASE_URL,
        open=False,
        max_size=8,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        check=AsyncConnectionPool.check_connection,  # of a database that was restarted
    ) as pool:
        model = ChatOpenAI(model=MODEL, stream_usage=True)
        yield LangGraphAgent(create_agent(model, [stock], checkpointer=AsyncPostgresSaver(pool)))


AgentHost(make_agent).init_app(app, url_prefix="/agents")
