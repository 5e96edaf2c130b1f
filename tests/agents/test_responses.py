"""The built-in agent in the conversation, by way of the Responses API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.agents.bench import AgentBench
from tests.support.conversation import GOLDEN, SCRIPTS, add, pick_colour, read_file
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Reasoning, Text, ToolCalls, Usage
from wsgi_app import OpenAIAgent
from wsgi_app.store.base import SessionKey

SYSTEM = "Answer briefly."


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """The scripted provider."""
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        yield upstream


@pytest.fixture
def bench(upstream: Upstream) -> Iterator[AgentBench]:
    """The agent on the engine, its model at the scripted provider."""
    agent = OpenAIAgent(
        "test-model", tools=[add, read_file, pick_colour], system=SYSTEM, api="responses"
    )
    bench = AgentBench(agent, upstream)
    yield bench
    bench.close()


def test_the_conversation_reads_as_it_should(bench: AgentBench, upstream: Upstream) -> None:
    """The events are the golden ones, as with the chat API; all requests go to /responses."""
    assert bench.transcript() == GOLDEN
    assert {request.path for request in upstream.requests} == {"/v1/responses"}


def test_a_cancel_ends_it_at_any_point(bench: AgentBench) -> None:
    """A cancel at a random point ends the turn within 200 ms, and its request to the provider."""
    bench.cancel_anywhere(times=8)


@pytest.mark.slow
def test_two_hundred_turns_leave_nothing(bench: AgentBench) -> None:
    """No thread, task, file or process is left of 200 turns, half of them cancelled."""
    bench.leave_nothing(200)


def test_a_step_is_repeated_in_the_next_request(bench: AgentBench, upstream: Upstream) -> None:
    """The next step's input holds this one's items as they came, reasoning too, and its outputs."""
    calls = ToolCalls((Call("c1", "add", '{"a": 2, "b": 3}'), Call("c2", "read_file", "{nonsense")))
    bench.talk((Reasoning(("Let me", " think.")), Text(("I add. ",)), calls), (Text(("5",)),))
    first, second = (request.body for request in upstream.requests)
    assert first["instructions"] == second["instructions"] == SYSTEM
    assert first["stream"] is True
    assert "stream_options" not in first
    assert {tool["name"] for tool in first["tools"]} == {"add", "read_file", "pick_colour"}
    assert {(tool["type"], tool["strict"]) for tool in first["tools"]} == {("function", False)}
    question, reasoning, text, *called, out_1, out_2 = second["input"]
    assert [question] == first["input"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Let me think."}]
    assert reasoning["encrypted_content"] == "encrypted Let me think."
    assert text["content"][0]["text"] == "I add. "
    assert text["status"] == "completed"
    # Some servers refuse a history whose arguments are no JSON object.
    assert [(call["call_id"], call["arguments"]) for call in called] == [
        ("c1", '{"a": 2, "b": 3}'),
        ("c2", "{}"),
    ]
    assert out_1 == {"type": "function_call_output", "call_id": "c1", "output": "5"}
    assert "Invalid JSON" in out_2["output"]


def test_the_history_becomes_input_items(bench: AgentBench, upstream: Upstream) -> None:
    """An earlier turn's messages, call and result are items of the next turn's input."""
    key = SessionKey("tenant", "history")
    call = ToolCalls((Call("c1", "add", '{"a": 2, "b": 3}'),))
    bench.talk((Text(("I add. ",)), call), (Text(("It is 5.",)),), key=key)
    bench.talk((Text(("Bye.",)),), key=key)
    question, text, called, result, answer, last = upstream.requests[-1].body["input"]
    assert (question["role"], last["role"]) == ("user", "user")
    content = {"type": "output_text", "text": "I add. ", "annotations": []}
    assert text == {"type": "message", "role": "assistant", "content": [content]}
    assert all("type" in item for item in upstream.requests[-1].body["input"])
    assert (called["type"], called["call_id"], called["name"]) == ("function_call", "c1", "add")
    assert json.loads(called["arguments"]) == {"a": 2, "b": 3}
    assert result == {"type": "function_call_output", "call_id": "c1", "output": "5"}
    assert answer["content"] == [{**content, "text": "It is 5."}]


def test_the_scripted_provider_speaks_as_the_package_understands(upstream: Upstream) -> None:
    """The events these tests rest on are put together by openai's own reader of them."""

    async def listen() -> Any:
        async with (
            AsyncOpenAI() as client,
            client.responses.stream(model="m", input="hi") as stream,
        ):
            async for _ in stream:
                pass
            return await stream.get_final_response()

    upstream.script(Reasoning(("Hm. ", "Well.")), *SCRIPTS[0], Usage(11, 5))
    response = asyncio.run(listen())
    assert response.output_text == "Let me look. "
    kinds = [item.type for item in response.output]
    assert kinds == ["reasoning", "message", *["function_call"] * 3]
    assert response.output[2].arguments == '{"a": 2, "b": 3}'
    assert response.usage.total_tokens == 16
