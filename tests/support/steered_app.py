"""Agents that are steered: a generator, a model, and a generator that listens to nobody."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask

from wsgi_app import Agent, AgentHost, OpenAIAgent, Turn, current_turn, steerable

#: How often the generator looks for what is said.
LOOK_SECONDS = 0.01


@steerable
def listening(turn: Turn) -> Iterator[str]:
    """Repeat what is said until it is "stop"; with the message "deaf" wait for the turn's end.

    With a number of milliseconds as its message, end by itself after so long.
    """
    yield "begun "
    until = time.monotonic() + (int(turn.message) / 1000 if turn.message.isdigit() else 60)
    while turn.message == "deaf":
        turn.check()
        time.sleep(LOOK_SECONDS)
    heard: list[str] = []
    while "stop" not in heard and time.monotonic() < until:
        turn.check()
        heard = turn.steered()
        yield from (f"[{text}] " for text in heard)
        time.sleep(LOOK_SECONDS)
    while not turn.may_end():
        yield from (f"({text}) " for text in turn.steered())
    yield "over"


def deaf(turn: Turn) -> Iterator[str]:
    """Say something, and wait for the turn's end."""
    yield "begun "
    while True:
        turn.check()
        time.sleep(LOOK_SECONDS)


def wait_a_moment(turn: Turn, seconds: float) -> str:
    """Wait."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        turn.check()
        time.sleep(LOOK_SECONDS)
    return "waited"


def pydantic_ai() -> Agent:
    """The same with Pydantic AI, which needs Python 3.11."""
    from pydantic_ai import Agent as PydanticAgent  # noqa: PLC0415 - as said
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - as said

    from wsgi_app.agents.pydantic_ai import PydanticAIAgent  # noqa: PLC0415 - as said

    def wait(seconds: float) -> str:
        return wait_a_moment(current_turn(), seconds)

    wait.__name__ = "wait_a_moment"
    return PydanticAIAgent(PydanticAgent(OpenAIChatModel("test-model"), tools=[wait]))


def graph() -> Agent:
    """The same with LangGraph, with a checkpointer that all workers share."""
    from langchain.agents import create_agent  # noqa: PLC0415 - where it is used
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - the same
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415 - the same

    from wsgi_app.agents.langgraph import LangGraphAgent  # noqa: PLC0415 - the same

    def wait(seconds: float) -> str:
        """Wait."""
        return wait_a_moment(current_turn(), seconds)

    wait.__name__ = "wait_a_moment"
    file = Path(os.environ["MEMORY_FOLDER"]) / "graph.db"
    saver = SqliteSaver(sqlite3.connect(file, check_same_thread=False, timeout=30))
    saver.setup()
    model = ChatOpenAI(model="test-model", max_retries=0)
    return LangGraphAgent(create_agent(model, [wait], checkpointer=saver))


def sdk_agent() -> Agent:
    """The same with the OpenAI Agents SDK."""
    from agents import Agent as SdkAgent  # noqa: PLC0415 - where it is used
    from agents import OpenAIChatCompletionsModel, function_tool  # noqa: PLC0415 - the same
    from openai import AsyncOpenAI  # noqa: PLC0415 - the same

    from wsgi_app.agents.openai_agents import AgentsSdkAgent  # noqa: PLC0415 - the same

    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "waited"

    tool = function_tool(wait, name_override="wait_a_moment")
    model = OpenAIChatCompletionsModel("test-model", AsyncOpenAI(max_retries=0))
    agent: SdkAgent[Any] = SdkAgent(name="main", model=model, tools=[tool])
    return AgentsSdkAgent(agent)


def app() -> Flask:
    """Mount them below /agents, /deaf, /pydantic, and by the model's API /chat and /responses.

    With ``MEMORY_FOLDER`` those of other frameworks too: /graph, /sdk.
    """
    site = Flask("site")
    AgentHost(listening).init_app(site, url_prefix="/agents")
    for api in ("chat", "responses"):
        agent = OpenAIAgent("test-model", [wait_a_moment], max_steps=4, api=api)
        AgentHost(agent).init_app(site, url_prefix=f"/{api}")
    if sys.version_info >= (3, 11) and "OPENAI_API_KEY" in os.environ:
        AgentHost(pydantic_ai()).init_app(site, url_prefix="/pydantic")
    if "MEMORY_FOLDER" in os.environ:
        AgentHost(graph()).init_app(site, url_prefix="/graph")
        AgentHost(sdk_agent()).init_app(site, url_prefix="/sdk")
    AgentHost(deaf).init_app(site, url_prefix="/deaf")
    return site
