"""``client.threads.stream`` of langgraph-sdk for Python, as it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.support.servers import Gunicorn
from tests.support.waiting import wait_for
from wsgi_app.auth import DEVELOPMENT_TOKEN

TOOL = {"tool": {"name": "add", "input": {"a": 1}, "output": {"sum": 2}}}
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def test_messages_calls_and_the_output(client: SyncLangGraphClient) -> None:
    """Each message whole, with its calls and usage, and the state in the end."""
    steps = [{"events": ["thinking"]}, {"text": "So. "}, TOOL, {"text": "It is 2."}, {"usage": 7}]
    with client.threads.stream(assistant_id="agent") as thread:
        thread.run.start(input=HELLO, metadata={"steps": steps})
        first, second = list(thread.messages)
        assert str(first.text) == "So. "
        assert first.output.tool_calls[0]["args"] == {"a": 1}
        assert str(second.text) == "It is 2."
        assert dict(second.output.usage_metadata or {})["total_tokens"] == 14
        kinds = [message["type"] for message in thread.output["messages"]]
        assert kinds == ["human", "ai", "tool", "ai"]


def test_tool_calls(client: SyncLangGraphClient) -> None:
    """A tool's call is told while it runs, and its output behind it."""
    with client.threads.stream(assistant_id="agent") as thread:
        thread.run.start(input=HELLO, metadata={"steps": [TOOL]})
        (call,) = list(thread.tool_calls)
        assert (call.name, call.input, call.output) == ("add", {"a": 1}, {"sum": 2})


def test_an_interrupt_and_its_answer(client: SyncLangGraphClient) -> None:
    """The thread is interrupted by a question, and goes on with what answers it."""
    steps = [{"ask": "The color?"}, {"text": "!"}]
    with client.threads.stream(assistant_id="agent") as thread:
        thread.run.start(input=HELLO, metadata={"steps": steps})
        wait_for(lambda: thread.interrupted, "the question")
        assert thread.interrupts[0]["value"] == {"prompt": "The color?"}
        thread.run.respond("red")
        wait_for(lambda: client.threads.get_state(thread.thread_id)["next"] == [], "the end")
        values: Any = client.threads.get_state(thread.thread_id)["values"]
        assert values["messages"][-1]["content"] == "red!"


def test_an_error_is_the_output(client: SyncLangGraphClient) -> None:
    """A turn that fails raises where its output is asked for."""
    with client.threads.stream(assistant_id="agent") as thread:
        thread.run.start(input=HELLO, metadata={"steps": [{"raise": "ValueError"}]})
        with pytest.raises(RuntimeError, match="The agent failed"):
            _ = thread.output


def test_a_run_is_cancelled(client: SyncLangGraphClient) -> None:
    """By the SDK's own call; the stream is told, and the run's status says so."""
    with client.threads.stream(assistant_id="agent") as thread:
        run = thread.run.start(input=HELLO, metadata={"steps": [{"text": "a"}, {"hold": True}]})
        client.runs.cancel(thread.thread_id, run["run_id"], wait=True)
        assert thread.output["messages"][-1]["content"] == "a"
        assert client.runs.get(thread.thread_id, run["run_id"])["status"] == "interrupted"


def test_the_async_client(host: Gunicorn) -> None:
    """Text token by token, and a thread that is taken up again by its id."""

    async def talk() -> None:
        client = get_client(url=f"{host.url}/agents/langgraph", api_key=DEVELOPMENT_TOKEN)
        async with client.threads.stream(assistant_id="agent") as thread:
            await thread.run.start(input=HELLO, metadata={"steps": [{"tokens": 5}]})
            (message,) = [message async for message in thread.messages]
            assert [delta async for delta in message.text] == ["w1 ", "w2 ", "w3 ", "w4 ", "w5 "]
            thread_id = thread.thread_id
        async with client.threads.stream(thread_id, assistant_id="agent") as thread:
            output = await thread.output
            assert output["messages"][-1]["content"].startswith("w1 w2")
        await client.aclose()

    asyncio.run(asyncio.wait_for(talk(), 30))


def test_sub_agents_are_subgraphs(client: SyncLangGraphClient) -> None:
    """Each is found by its call, with messages and calls of its own."""
    child = {"name": "finder", "steps": [{"text": "I look. "}, TOOL, {"text": "Found."}]}
    with client.threads.stream(assistant_id="agent") as thread:
        thread.run.start(input=HELLO, metadata={"steps": [{"child": child}, {"text": "Done."}]})
        (finder,) = list(thread.subgraphs)
        assert finder.graph_name == "tools"
        assert finder.trigger_call_id == thread.output["messages"][2]["tool_call_id"]
        assert [str(message.text) for message in list(finder.messages)] == ["I look. ", "Found."]
        assert [call.name for call in finder.tool_calls] == ["add"]
        assert finder.status == "completed"
        assert [str(one.text) for one in list(thread.messages)] == ["", "Done."]
        kinds = [message["type"] for message in thread.output["messages"]]
        assert kinds == ["human", "ai", "tool", "ai"]
