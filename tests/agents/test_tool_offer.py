"""An agent with more tools than a model may be shown."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.agents.bench import Host
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from wsgi_app import OpenAIAgent
from wsgi_app.agents import Tool
from wsgi_app.agents.tool_offer import MAX_TOOLS, Offer, called_in

CALL_FIND = (ToolCalls((Call("c1", "find_tool", '{"query": "weather in a city"}'),)),)
CALL_WEATHER = (ToolCalls((Call("c2", "get_weather", '{"city": "Bern"}'),)),)
SAY = (Text(("Done.",)),)


def numbered(number: int) -> Callable[..., Any]:
    """A function with a number in its name."""

    def function() -> int:
        return number

    function.__name__ = f"tool_{number}"
    function.__doc__ = f"Give the number {number}."
    return function


def get_weather(city: str) -> str:
    """Tell the weather of a place."""
    return f"{city}: sun"


def names_in(upstream: Upstream) -> list[list[str]]:
    """The names of the tools in each request."""
    return [
        [tool["function"]["name"] for tool in request.body.get("tools") or []]
        for request in upstream.requests
    ]


@pytest.fixture
def agent(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> OpenAIAgent:
    """An agent with 200 tools, the last of which is needed."""
    for name, value in upstream.environment.items():
        monkeypatch.setenv(name, value)
    return OpenAIAgent("test-model", tools=[*map(numbered, range(200)), get_weather])


def test_what_is_left_out_is_found_and_called(
    host: Host, upstream: Upstream, agent: OpenAIAgent, caplog: pytest.LogCaptureFixture
) -> None:
    """The model gets no more than providers take, and a search that adds what it finds."""
    caplog.set_level(logging.WARNING)
    events = host(agent).talk(CALL_FIND, CALL_WEATHER, SAY)
    results = [event for event in events if event["type"] == "tool_result"]
    found = [tool["name"] for tool in results[0]["output"]["tools"]]
    assert found == ["get_weather"]
    assert results[1]["output"] == "Bern: sun"
    first, second, third = names_in(upstream)
    assert max(map(len, (first, second, third))) <= MAX_TOOLS
    assert "get_weather" not in first
    assert "find_tool" in first
    assert second == third == [*first, "get_weather"]
    told = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(told) == 1
    assert "get_weather" in told[0]


def test_what_the_conversation_has_called_is_shown_first() -> None:
    """A tool that an earlier turn has found need not be looked for again."""
    call = {"id": "c1", "type": "function", "function": {"name": "tool_9", "arguments": "{}"}}
    called = called_in(
        [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    )
    offer = Offer(8, called)
    toolbox = offer.update([Tool(numbered(number)) for number in range(10)])
    names = [tool.name for tool in offer.shown]
    assert names == [*(f"tool_{number}" for number in range(4)), "tool_9", "find_tool"]
    assert len(toolbox.tools) == 11


def test_searches_show_what_was_found_last() -> None:
    """However much is found, no more is shown than may be; the newest stays."""
    offer = Offer(8)
    offer.update([Tool(numbered(number)) for number in range(50)])
    for query in ("number 20", "tool_30", "tool_40"):
        assert offer.find(query)
        assert len(offer.shown) <= 8
    assert "tool_40" in [tool.name for tool in offer.shown]
    assert offer.find("ships") == []


def test_too_many_tools_are_refused_where_that_is_set() -> None:
    """With ``refuse`` an agent of too many functions cannot be made."""
    functions = [numbered(number) for number in range(5)]
    OpenAIAgent("test-model", tools=functions, max_tools=5, too_many_tools="refuse")
    with pytest.raises(ValueError, match="5 tools are more than 4"):
        OpenAIAgent("test-model", tools=functions, max_tools=4, too_many_tools="refuse")
    with pytest.raises(ValueError, match="max_tools at least 4"):
        OpenAIAgent("test-model", max_tools=3)


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_long_description_goes_on_in_the_instructions(
    host: Host, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, api: Any
) -> None:
    """Providers take 1,024 characters; the rest stands in the system prompt, whole."""
    for name, value in upstream.environment.items():
        monkeypatch.setenv(name, value)
    words = " ".join(f"word-{number}" for number in range(400))

    def explain() -> str:
        return ""

    explain.__doc__ = words
    agent = OpenAIAgent("test-model", tools=[explain], system="Be kind.", api=api)
    host(agent).talk(SAY)
    body = upstream.requests[0].body
    if api == "chat":
        text, tool = body["messages"][0]["content"], body["tools"][0]["function"]
    else:
        text, tool = body["instructions"], body["tools"][0]
    assert len(tool["description"]) <= 1024
    start = tool["description"].partition(" … (")[0]
    assert text.startswith("Be kind.\n\n")
    assert start + text.partition("explain: … ")[2] == words
