"""What the built-in agent asks for: its options, its reasoning, and clients of one's own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAsyncHttpxClient

from tests.agents.answers.parts import (
    Api,
)
from tests.agents.bench import AgentBench
from tests.support.conversation import add
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    AnyStep,
    Call,
    EndOfFile,
    Raw,
    Reasoning,
    Refuse,
    Text,
    ToolCalls,
)
from wsgi_app import OpenAIAgent


def test_options_are_fields_of_each_request(upstream: Upstream, api: Api) -> None:
    """Known and unknown ones alike, in each step."""
    options = {"temperature": 0.5, "reasoning": {"effort": "low"}, "top_k": 4}
    bench = AgentBench(OpenAIAgent("m", tools=[add], api=api, options=options), upstream)
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    assert bench.talk((calls,), (Text(("3",)),))[-1]["type"] == "done"
    for request in upstream.requests:
        assert options.items() <= request.body.items()
    bench.close()


@pytest.mark.parametrize(
    "name", ["model", "messages", "input", "stream", "tools", "stream_options", "extra_body"]
)
def test_options_that_the_agent_sets_itself_are_refused(name: str) -> None:
    """At construction, so that no turn finds out."""
    with pytest.raises(ValueError, match=f"options cannot set {name}"):
        OpenAIAgent("m", options={name: "x"})


def test_options_that_are_no_json_and_unknown_apis_are_refused() -> None:
    """At construction too."""
    with pytest.raises(TypeError):
        OpenAIAgent("m", options={"temperature": object()})
    with pytest.raises(ValueError, match="chat, responses"):
        OpenAIAgent("m", api="completions")  # type: ignore[arg-type]


def test_options_are_the_agents_own(upstream: Upstream) -> None:
    """A later change of the mapping does not change the agent."""
    options: dict[str, Any] = {"metadata": {"a": "1"}}
    agent = OpenAIAgent("m", options=options)
    options["metadata"]["a"] = "2"
    bench = AgentBench(agent, upstream)
    bench.talk((Text(("Hi",)),))
    assert upstream.requests[0].body["metadata"] == {"a": "1"}
    bench.close()


def test_reasoning_goes_back_under_the_name_that_asks_for_it(upstream: Upstream) -> None:
    """DeepSeek refuses a call without its reasoning_content, Groq refuses its reasoning back."""
    bench = AgentBench(OpenAIAgent("m", tools=[add]), upstream)
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    for field in ("reasoning_content", "reasoning"):
        bench.talk((Reasoning(("Let me", " see."), field), calls), (Text(("3",)),))
    told, untold = (upstream.requests[number].body["messages"][1] for number in (1, 3))
    assert told["reasoning_content"] == "Let me see."
    assert untold.keys() == {"role", "content", "tool_calls"}
    bench.close()


def clients(upstream: Upstream) -> dict[str, AsyncOpenAI]:
    """Clients as authors make them."""
    host = upstream.url.removesuffix("/v1")
    return {
        "httpx": AsyncOpenAI(
            api_key="own", base_url=upstream.url, http_client=DefaultAsyncHttpxClient()
        ),
        "azure": AsyncAzureOpenAI(api_key="own", azure_endpoint=host, api_version="2025-04-01"),
        "no retries": AsyncOpenAI(api_key="own", base_url=upstream.url, max_retries=0),
    }


@pytest.mark.parametrize("name", ["httpx", "azure", "no retries"])
def test_a_client_of_ones_own_is_used_as_it_is(upstream: Upstream, api: Api, name: str) -> None:
    """Its paths, its key and its transport; the whole of an answer comes through."""
    client = clients(upstream)[name]
    bench = AgentBench(OpenAIAgent("own-model", tools=[add], client=client, api=api), upstream)
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    assert bench.talk((calls,), (Text(("3",)),))[-1]["reply"] == "3"
    (request, _) = upstream.requests
    key = request.headers.get("api-key") or request.headers["authorization"]
    assert key.removeprefix("Bearer ") == "own"
    assert ("/openai/" in request.path) == (name == "azure")
    bench.turns.run(lambda turn: turn.run_io(client.close()))
    bench.close()


def test_every_client_asks_the_same(upstream: Upstream, api: Api) -> None:
    """The provider gets the same requests through a client of one's own as through the host's."""
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    bodies = []
    own = clients(upstream)["httpx"]
    for client in (None, own):
        agent = OpenAIAgent(
            "m", tools=[add], system="Be brief.", client=client, api=api, options={"top_k": 5}
        )
        bench = AgentBench(agent, upstream)
        before = len(upstream.requests)
        upstream.script(calls)
        upstream.script(Text(("3",)))
        bench.turns.run(agent)
        sent = json.dumps([request.body for request in upstream.requests[before:]])
        bodies.append(json.loads(re.sub(r"\bfc_[0-9a-f]+", "fc", sent)))  # the provider's own ids
        if client is not None:
            bench.turns.run(lambda turn: turn.run_io(own.close()))
        bench.close()
    assert bodies[0] == bodies[1]
    assert len(bodies[0]) == 2
    assert bodies[0][0]["tools"]
    assert bodies[0][0]["top_k"] == 5


def test_a_client_that_does_not_retry_is_obeyed(upstream: Upstream, api: Api) -> None:
    """Neither a refusal nor a stream that breaks off is tried again."""
    client = clients(upstream)["no retries"]
    bench = AgentBench(OpenAIAgent("own-model", client=client, api=api), upstream)
    scripts: list[tuple[AnyStep, ...]] = [(Refuse(429, 0.1),), (Raw(": hi\n\n"), EndOfFile())]
    for script in scripts:
        before = len(upstream.requests)
        (error,) = bench.talk(script, (Text(("Hello",)),))
        assert error["code"] == "upstream_error"
        assert len(upstream.requests) - before == 1
    bench.turns.run(lambda turn: turn.run_io(client.close()))
    bench.close()
