"""Agent frameworks with the host as their model: they run no tool that the host has run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from agents import Agent, ModelSettings, Runner, RunResultStreaming, function_tool
from agents.models.openai_responses import OpenAIResponsesModel
from agents.run import RunConfig
from langchain_core.messages import AIMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import SecretStr

from tests.clients.openai_host import doing, openai_host
from tests.support.reading import wait_observed
from tests.support.servers import Gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN
from wsgi_app.wires.openai.ids import ResponseRef

TOOL = {"tool": {"name": "add", "input": {"a": 2}, "output": {"sum": 5}}}
HOLD = {"hold": 1}
STEPS = ({"text": "Hel"}, TOOL, {"text": "lo"})
RUN = RunConfig(tracing_disabled=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """The host."""
    with openai_host() as server:
        yield server


@function_tool
def ask_user(prompt: str) -> str:
    """Ask the user."""
    return f"blue, not {prompt}"


def new_client(server: Gunicorn) -> AsyncOpenAI:
    """A client of the host, for the OpenAI Agents SDK."""
    return AsyncOpenAI(base_url=f"{server.url}/agents/v1", api_key=DEVELOPMENT_TOKEN)


def sdk_agent(client: AsyncOpenAI, *steps: dict[str, Any]) -> Agent[None]:
    """An agent of the OpenAI Agents SDK whose model is the host."""
    return Agent(
        name="caller",
        model=OpenAIResponsesModel(model="agent", openai_client=client),
        model_settings=ModelSettings(extra_body=doing(*steps)),
        tools=[ask_user],
    )


async def last_output(run: RunResultStreaming) -> Any:
    """What a streamed run ends with."""
    async for _ in run.stream_events():
        pass
    return run.final_output


def chat_model(server: Gunicorn, output_version: str, *steps: dict[str, Any]) -> ChatOpenAI:
    """A chat model of LangChain that is the host."""
    return ChatOpenAI(
        model="agent",
        base_url=f"{server.url}/agents/v1",
        api_key=SecretStr(DEVELOPMENT_TOKEN),
        use_responses_api=True,
        output_version=output_version,
        extra_body=doing(*steps),
    )


def results_told(history: str) -> list[str]:
    """The tools' results in a history that the scripted agent tells."""
    return [entry["content"] for entry in json.loads(history) if entry["role"] == "tool"]


def test_the_agents_sdk_leaves_the_hosts_tools_alone(server: Gunicorn) -> None:
    """A run ends well, streamed or not, and its items are the next run's history."""

    async def converse() -> None:
        async with new_client(server) as client:
            agent = sdk_agent(client, *STEPS)
            run = await Runner.run(agent, "hi", run_config=RUN)
            assert run.final_output == "lo"
            kinds = [item.type for item in run.new_items]
            assert kinds == ["message_output_item", "reasoning_item", "message_output_item"]
            assert await last_output(Runner.run_streamed(agent, "hi", run_config=RUN)) == "lo"
            more: Any = [*run.to_input_list(), {"role": "user", "content": "on"}]
            told = await Runner.run(sdk_agent(client, {"tell": "history"}), more, run_config=RUN)
            assert results_told(told.final_output) == ['{"sum":5}']

    asyncio.run(converse())


def test_a_tool_of_the_agents_sdk_answers_questions(server: Gunicorn) -> None:
    """What the host's agent asks is the one call that the SDK runs; its answer goes on with it."""

    async def converse() -> None:
        async with new_client(server) as client:
            agent = sdk_agent(client, TOOL, {"ask": "red?"})
            run = await Runner.run(agent, "hi", auto_previous_response_id=True, run_config=RUN)
            assert run.final_output == "blue, not red?"

    asyncio.run(converse())


@pytest.mark.parametrize("output_version", ["v0", "responses/v1", "v1"])
def test_langchain_leaves_the_hosts_tools_alone(server: Gunicorn, output_version: str) -> None:
    """A message has text and no call to run, streamed or not, and is the next one's history."""
    model = chat_model(server, output_version, *STEPS)
    chunks = iter(model.stream("hi"))
    streamed = sum(chunks, start=next(chunks))
    telling = chat_model(server, output_version, {"tell": "history"})
    for message in (model.invoke("hi"), streamed):
        assert isinstance(message, AIMessage)
        assert (message.text, message.tool_calls) == ("Hello", [])
        assert results_told(telling.invoke([("user", "hi"), message, ("user", "on")]).text) == [
            '{"sum":5}'
        ]


def test_a_tool_message_of_langchain_answers_a_question(server: Gunicorn) -> None:
    """What the host's agent asks is the one call of its message; a result goes on with it."""
    model = chat_model(server, "v1", TOOL, {"ask": "red?"})
    model.use_previous_response_id = True
    asked = model.invoke("hi")
    (call,) = asked.tool_calls
    assert (call["name"], call["args"]) == ("ask_user", {"prompt": "red?"})
    told = model.invoke([("user", "hi"), asked, ToolMessage("blue", tool_call_id=call["id"])])
    assert told.text == "blue"


def test_a_closed_stream_of_langchain_cancels_its_turn(server: Gunicorn) -> None:
    """Who stops reading has the turn cancelled."""
    chunks = chat_model(server, "v1", {"text": "x"}, HOLD).stream("hi")
    assert isinstance(chunks, Generator)
    first = next(chunk for chunk in chunks if chunk.response_metadata.get("id"))
    chunks.close()
    response = ResponseRef.parse(first.response_metadata["id"])
    wait_observed(server, "cancelled", response.session_id)


def test_a_cancelled_run_of_the_agents_sdk_cancels_its_turn(server: Gunicorn) -> None:
    """A streamed run that is cancelled has the turn cancelled."""

    async def begin_and_cancel() -> str:
        async with new_client(server) as client:
            run = Runner.run_streamed(sdk_agent(client, {"text": "x"}, HOLD), "hi", run_config=RUN)
            begun = ""
            async for event in run.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.created":
                    begun = event.data.response.id
                    run.cancel()
            return begun

    response = ResponseRef.parse(asyncio.run(begin_and_cancel()))
    wait_observed(server, "cancelled", response.session_id)
